#include "protocol.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "support/tools.h"

/* ---- Redis ------------------------------------------------------------------------------------- */

static void number_line(struct protocol_state *state)
{
    if (state->line == '*')
        state->strings = (uint16_t)state->number;
    else
        state->skip = state->number + 2; /* the string and the line end behind it */
}

/* True: it was the whole request. */
static bool end_of_line(struct protocol_state *state)
{
    bool is_number = state->line == '*' || state->line == '$';
    bool is_inline = !is_number && state->line != '\r' && state->line != '\n';
    if (is_number)
        number_line(state);
    state->line = 0;
    state->number = 0;
    return is_inline;
}

/* A string has been passed. True: it was the last one. */
static bool end_of_string(struct protocol_state *state)
{
    return --state->strings == 0;
}

static size_t count_commands(struct protocol_state *state, const char *bytes, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size;) {
        if (state->skip) {
            size_t part = state->skip < size - i ? state->skip : size - i;
            i += part;
            state->skip -= (uint32_t)part;
            count += state->skip == 0 && end_of_string(state);
            continue;
        }
        char byte = bytes[i++];
        if (state->line == 0)
            state->line = (uint8_t)byte;
        else if (byte >= '0' && byte <= '9')
            state->number = state->number * 10 + (uint32_t)(byte - '0');
        if (byte == '\n')
            count += end_of_line(state);
    }
    return count;
}

/* ---- HTTP -------------------------------------------------------------------------------------- */

/* Heads end with an empty line, and no request has a body. */
static size_t count_heads(struct protocol_state *state, const char *bytes, size_t size)
{
    size_t count = 0;
    const char *end = bytes + size;
    while (bytes < end) {
        if (state->matched == 0) {
            bytes = memchr(bytes, '\r', (size_t)(end - bytes));
            if (!bytes)
                return count;
        }
        char byte = *bytes++;
        if (byte == "\r\n\r\n"[state->matched])
            state->matched++;
        else
            state->matched = byte == '\r';
        if (state->matched == 4) {
            state->matched = 0;
            count++;
        }
    }
    return count;
}

/* ---- All --------------------------------------------------------------------------------------- */

static struct protocol protocols[] = {
    {.name = "echo"},
    {.name = "ping", .count = count_commands, .answer = "+PONG\r\n", .shortest = sizeof("x\n") - 1},
    {.name = "http",
     .count = count_heads,
     .answer =
         "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!",
     .shortest = sizeof("\r\n\r\n") - 1},
};

static void prepare(struct protocol *protocol)
{
    size_t length = strlen(protocol->answer);
    protocol->length = length;
    size_t most = PROTOCOL_READ_MAX / protocol->shortest + 1;
    protocol->answers = malloc(most * length);
    if (!protocol->answers)
        bench_die("memory");
    for (size_t i = 0; i < most; i++)
        memcpy(protocol->answers + i * length, protocol->answer, length);
}

const struct protocol *protocol_of(const char *name)
{
    for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
        struct protocol *protocol = &protocols[i];
        if (strcmp(protocol->name, name) != 0)
            continue;
        if (protocol->count && !protocol->answers)
            prepare(protocol);
        return protocol;
    }
    return NULL;
}
