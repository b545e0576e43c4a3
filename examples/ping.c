/*
 * A server that speaks enough of Redis' protocol to be measured with its tools:
 *
 *     redis-benchmark -p 12345 -t ping_inline,ping_mbulk -P 16
 *
 * A connection has a buffer for what came and one for the answers; all that came at once is answered
 * with one write.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "support/server.h"

#define ARGUMENTS_MAX 8

struct slice {
    const char *at;
    size_t length;
};

struct command {
    size_t count;
    struct slice arguments[ARGUMENTS_MAX];
};

struct client {
    lido_stream *stream;
    uint64_t bytes;  /* sent */
    size_t received; /* in `in`, not answered yet */
    size_t pending;  /* in `out`, not sent yet */
    char in[8192];
    char out[8192];
};

/* ---- Parsing ----------------------------------------------------------------------------------- */

enum parsed { PARSED, INCOMPLETE, MALFORMED };

/* What is left to parse. */
struct cursor {
    const char *at;
    const char *end;
};

/* Up to a line feed, without it and the carriage return before it. */
static enum parsed take_line(struct cursor *cursor, struct slice *line)
{
    const char *feed = memchr(cursor->at, '\n', (size_t)(cursor->end - cursor->at));
    if (!feed)
        return INCOMPLETE;
    line->at = cursor->at;
    line->length = (size_t)(feed - cursor->at);
    if (line->length && feed[-1] == '\r')
        line->length--;
    cursor->at = feed + 1;
    return PARSED;
}

/* A line with a mark and a number from 0 to `most`. */
static enum parsed take_number(struct cursor *cursor, char mark, size_t most, size_t *ret)
{
    struct slice line;
    size_t value = 0;
    enum parsed parsed = take_line(cursor, &line);
    if (parsed != PARSED)
        return parsed;
    if (line.length < 2 || line.at[0] != mark)
        return MALFORMED;
    for (size_t i = 1; i < line.length; i++) {
        if (line.at[i] < '0' || line.at[i] > '9')
            return MALFORMED;
        value = value * 10 + (size_t)(line.at[i] - '0');
        if (value > most)
            return MALFORMED;
    }
    *ret = value;
    return PARSED;
}

/* "$4\r\nPING\r\n" */
static enum parsed take_string(struct cursor *cursor, struct slice *string)
{
    size_t length;
    enum parsed parsed = take_number(cursor, '$', sizeof(((struct client *)0)->in), &length);
    if (parsed != PARSED)
        return parsed;
    if ((size_t)(cursor->end - cursor->at) < length + 2)
        return INCOMPLETE;
    string->at = cursor->at;
    string->length = length;
    cursor->at += length + 2;
    return memcmp(cursor->at - 2, "\r\n", 2) == 0 ? PARSED : MALFORMED;
}

/* "*2\r\n" and so many strings. */
static enum parsed take_array(struct cursor *cursor, struct command *command)
{
    enum parsed parsed = take_number(cursor, '*', ARGUMENTS_MAX, &command->count);
    for (size_t i = 0; parsed == PARSED && i < command->count; i++)
        parsed = take_string(cursor, &command->arguments[i]);
    return parsed;
}

/* Words in a line. */
static enum parsed take_inline(struct cursor *cursor, struct command *command)
{
    struct slice line;
    enum parsed parsed = take_line(cursor, &line);
    if (parsed != PARSED)
        return parsed;
    const char *end = line.at + line.length;
    command->count = 0;
    for (const char *at = line.at; at < end && command->count < ARGUMENTS_MAX;) {
        const char *space = memchr(at, ' ', (size_t)(end - at));
        const char *stop = space ? space : end;
        if (stop > at)
            command->arguments[command->count++] = (struct slice){at, (size_t)(stop - at)};
        at = stop + 1;
    }
    return PARSED;
}

static enum parsed take_command(struct cursor *cursor, struct command *command)
{
    if (cursor->at == cursor->end)
        return INCOMPLETE;
    return *cursor->at == '*' ? take_array(cursor, command) : take_inline(cursor, command);
}

/* ---- Answering --------------------------------------------------------------------------------- */

static int flush(struct client *client)
{
    size_t sent;
    ssize_t r = lido_write_all(client->stream, client->out, client->pending, &sent);
    client->bytes += sent;
    client->pending = 0;
    return r < 0 ? (int)r : 0;
}

static int answer(struct client *client, const char *text, size_t length)
{
    int r = sizeof(client->out) - client->pending < length ? flush(client) : 0;
    if (r < 0)
        return r;
    memcpy(client->out + client->pending, text, length);
    client->pending += length;
    return 0;
}

static int answer_text(struct client *client, const char *text)
{
    return answer(client, text, strlen(text));
}

static int answer_string(struct client *client, struct slice string)
{
    char head[32];
    snprintf(head, sizeof(head), "$%zu\r\n", string.length);
    int r = answer_text(client, head);
    if (r == 0)
        r = answer(client, string.at, string.length);
    return r == 0 ? answer_text(client, "\r\n") : r;
}

static int obey(struct client *client, const struct command *command)
{
    const struct slice *name = &command->arguments[0];
    if (command->count == 0)
        return 0; /* an empty line */
    if (name->length != 4 || strncasecmp(name->at, "PING", 4) != 0)
        return answer_text(client, "-ERR unknown command\r\n");
    if (command->count == 1)
        return answer_text(client, "+PONG\r\n");
    return answer_string(client, command->arguments[1]);
}

/* Answers all whole commands that have come, and keeps what is left. */
static int obey_all(struct client *client)
{
    struct cursor cursor = {client->in, client->in + client->received};
    struct command command;
    for (;;) {
        struct cursor next = cursor;
        enum parsed parsed = take_command(&next, &command);
        if (parsed == MALFORMED)
            return -EPROTO;
        if (parsed == INCOMPLETE)
            break;
        int r = obey(client, &command);
        if (r < 0)
            return r;
        cursor = next;
    }
    client->received = (size_t)(cursor.end - cursor.at);
    memmove(client->in, cursor.at, client->received);
    return client->received < sizeof(client->in) ? flush(client) : -EPROTO;
}

static int serve_client(struct client *client)
{
    ssize_t r;
    while ((r = lido_read(client->stream, client->in + client->received,
                          sizeof(client->in) - client->received)) > 0) {
        client->received += (size_t)r;
        r = obey_all(client);
        if (r == -EPROTO) {
            answer_text(client, "-ERR Protocol error\r\n");
            flush(client);
        }
        if (r < 0)
            break;
    }
    return (int)r;
}

static int ping(void *arg)
{
    struct client client;
    client.stream = arg;
    client.bytes = client.received = client.pending = 0;
    int r = serve_client(&client);
    lido_close(client.stream);
    server_count(client.bytes);
    return r;
}

int main(int argc, char **argv)
{
    static const struct server server = {
        .name = "ping",
        .about = "Answers Redis' PING, inline and as an array. A fiber for each connection.",
        .input = "echo PING",
        .fiber = ping,
    };
    return server_main(&server, argc, argv);
}
