/*
 * What the TCP jobs answer: echo, and requests that are counted and not understood (see ../README.md).
 *
 * A reply may be used until the next call for the same protocol; the one of an echo is the request itself.
 * Thread-safe once protocol_of has returned.
 */
#ifndef LIDO_BENCH_PROTOCOL_H
#define LIDO_BENCH_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The most that may be given to protocol_reply at once. */
#define PROTOCOL_READ_MAX 65536

/* Where a connection is within a request. All zero to begin with. */
struct protocol_state {
    uint32_t skip;    /* bytes that belong to a string */
    uint16_t strings; /* that are still to come */
    uint8_t line;     /* the kind of line that has begun, its first byte */
    uint8_t matched;  /* of what ends a request or a line */
    uint32_t number;  /* that the line says */
};

struct protocol_bytes {
    const void *data;
    size_t size;
};

struct protocol {
    const char *name;
    /* How many requests these bytes end. NULL: the request is the answer. */
    size_t (*count)(struct protocol_state *state, const char *bytes, size_t size);
    const char *answer;
    size_t length;   /* of it */
    size_t shortest; /* of what is counted as a request */
    char *answers;   /* as many in a row as there can be in one read */
};

/* "echo", "ping", "http"; NULL for any other name. */
const struct protocol *protocol_of(const char *name);

/* What is to be sent for these bytes, `size` 0 if nothing yet. Inline, so that an echo takes no call. */
static inline struct protocol_bytes protocol_reply(const struct protocol *protocol,
                                                   struct protocol_state *state, const void *bytes,
                                                   size_t size)
{
    struct protocol_bytes reply = {bytes, size};
    if (protocol->count) {
        reply.data = protocol->answers;
        reply.size = protocol->count(state, (const char *)bytes, size) * protocol->length;
    }
    return reply;
}

#ifdef __cplusplus
}
#endif

#endif
