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

struct protocol;

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

/* "echo", "ping", "http"; NULL for any other name. */
const struct protocol *protocol_of(const char *name);

/* What is to be sent for these bytes, `size` 0 if nothing yet. */
struct protocol_bytes protocol_reply(const struct protocol *protocol, struct protocol_state *state,
                                     const void *bytes, size_t size);

#ifdef __cplusplus
}
#endif

#endif
