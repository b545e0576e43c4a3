#define _GNU_SOURCE

#include "protocol.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STAGING_MAX 65536

const char *const protocol_names[PROTOCOLS] = {
    [PROTOCOL_ECHO] = "echo",
    [PROTOCOL_PING] = "ping",
    [PROTOCOL_PING_INLINE] = "ping-inline",
    [PROTOCOL_HTTP] = "http",
};

static const char pong[] = "+PONG\r\n";

static char *pattern_of(size_t size)
{
    char *bytes = malloc(size);
    for (size_t i = 0; bytes && i < size; i++)
        bytes[i] = (char)(i * 31 + i / 256);
    return bytes;
}

static char *text_of(const struct protocol_plan *plan)
{
    char *text = NULL;
    if (plan->kind == PROTOCOL_PING)
        return strdup("*1\r\n$4\r\nPING\r\n");
    if (plan->kind == PROTOCOL_PING_INLINE)
        return strdup("PING\r\n");
    if (asprintf(&text, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", plan->path, plan->host) < 0)
        return NULL;
    return text;
}

int protocol_init(struct protocol *protocol, const struct protocol_plan *plan)
{
    bool echo = plan->kind == PROTOCOL_ECHO;
    bool http = plan->kind == PROTOCOL_HTTP;
    *protocol = (struct protocol){.kind = plan->kind};
    protocol->request = echo ? pattern_of(plan->size) : text_of(plan);
    if (!protocol->request)
        return -ENOMEM;
    protocol->request_size = echo ? plan->size : strlen(protocol->request);
    if (echo)
        protocol->tagged = plan->size < sizeof(struct tag) ? plan->size : sizeof(struct tag);
    protocol->answer = echo ? protocol->request : http ? NULL : pong;
    protocol->answer_size = echo ? plan->size : sizeof(pong) - 1;
    return 0;
}

void protocol_fini(struct protocol *protocol)
{
    free(protocol->request);
}

/* ---- Requests ---------------------------------------------------------------------------------- */

int staging_init(struct staging *staging, const struct protocol *protocol, size_t count)
{
    size_t size = protocol->request_size;
    size_t fit = STAGING_MAX / size;
    count = count > fit ? fit : count;
    count = count ? count : 1;
    *staging = (struct staging){.protocol = protocol, .bytes = malloc(size * count)};
    if (!staging->bytes)
        return -ENOMEM;
    staging->count = count;
    for (size_t i = 0; i < count; i++)
        memcpy(staging->bytes + i * size, protocol->request, size);
    return 0;
}

void staging_fini(struct staging *staging)
{
    free(staging->bytes);
}

/* Of a size that the compiler knows, where it can be. */
static void put_tag(char *message, const struct tag *tag, size_t tagged)
{
    if (tagged == sizeof(*tag))
        memcpy(message, tag, sizeof(*tag));
    else
        memcpy(message, tag, tagged);
}

size_t staging_fill(struct staging *staging, struct tag tag, size_t count, size_t offset,
                    const char **bytes)
{
    size_t size = staging->protocol->request_size;
    size_t tagged = staging->protocol->tagged;
    count = count > staging->count ? staging->count : count;
    for (size_t i = 0; tagged && i < count; i++, tag.sequence++)
        put_tag(staging->bytes + i * size, &tag, tagged);
    *bytes = staging->bytes + offset;
    return count * size - offset;
}

/* ---- Answers ----------------------------------------------------------------------------------- */

/* Whether `size` bytes are those of the message from `offset` on. */
static bool is_message(const struct protocol *protocol, const struct tag *tag, size_t offset,
                       const char *data, size_t size)
{
    size_t tagged = protocol->tagged;
    if (offset < tagged) {
        size_t part = tagged - offset < size ? tagged - offset : size;
        if (memcmp((const char *)tag + offset, data, part) != 0)
            return false;
        offset += part;
        data += part;
        size -= part;
    }
    return memcmp(protocol->answer + offset, data, size) == 0;
}

static ssize_t take_message(struct parser *parser, const struct protocol *protocol,
                            const struct tag *tag, const char *data, size_t size)
{
    size_t left = protocol->answer_size - parser->offset;
    size_t part = size < left ? size : left;
    return is_message(protocol, tag, parser->offset, data, part) ? (ssize_t)part : -EBADMSG;
}

ssize_t parser_take(struct parser *parser, const struct protocol *protocol, struct tag tag,
                    const char *data, size_t size, bool *done)
{
    ssize_t took;
    if (!protocol->answer) {
        took = http_take(&parser->http, data, size, done);
    } else {
        took = take_message(parser, protocol, &tag, data, size);
        *done = took >= 0 && parser->offset + (size_t)took == protocol->answer_size;
    }
    parser->offset += took > 0 ? (size_t)took : 0;
    return took;
}
