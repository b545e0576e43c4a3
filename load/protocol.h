/*
 * What is sent and what must come back.
 *
 *   echo         messages of a fixed size, each of its own content; the answer is the same
 *   ping         Redis' PING as an array, ping-inline as a line; the answer is +PONG
 *   http         GET, keep-alive; the answer is a status, headers and as many bytes as they say
 *
 * A protocol is prepared once, and then read by all workers. A *staging* holds a run of requests, one
 * after the other; each worker has one, for all its connections write from it and none keeps it. So no
 * connection has a buffer.
 */
#ifndef LOAD_PROTOCOL_H
#define LOAD_PROTOCOL_H

#include "http.h"

enum protocol_kind { PROTOCOL_ECHO, PROTOCOL_PING, PROTOCOL_PING_INLINE, PROTOCOL_HTTP, PROTOCOLS };

extern const char *const protocol_names[PROTOCOLS];

/* What makes a message of echo its own: its first bytes, as many of these as it has. */
struct tag {
    uint32_t sequence;
    uint32_t owner;
};

struct protocol {
    enum protocol_kind kind;
    char *request;
    size_t request_size;
    size_t tagged;      /* how many bytes of it are its tag */
    const char *answer; /* NULL: as HTTP says */
    size_t answer_size;
};

struct protocol_plan {
    enum protocol_kind kind;
    size_t size;      /* of a message of echo */
    const char *host; /* for HTTP */
    const char *path;
};

/* -ENOMEM. */
int protocol_init(struct protocol *protocol, const struct protocol_plan *plan);
void protocol_fini(struct protocol *protocol);

struct staging {
    const struct protocol *protocol;
    char *bytes;
    size_t count; /* of requests */
};

/* Room for `count` requests, or fewer, if they are large. -ENOMEM. */
int staging_init(struct staging *staging, const struct protocol *protocol, size_t count);
void staging_fini(struct staging *staging);

/*
 * The bytes of `count` requests, the first with `tag` and each with a sequence one higher, from `offset`
 * of the first on. Returns how many bytes there are: of all the requests, or of as many as there is room
 * for.
 */
size_t staging_fill(struct staging *staging, struct tag tag, size_t count, size_t offset,
                    const char **bytes);

/* How far the answers of a connection have been read. */
struct parser {
    size_t offset; /* in the answer that has begun */
    struct http_answer http;
};

/*
 * Takes in what belongs to the next answer, which is that to the request of `tag`. Returns how many bytes
 * these are; *done says that the answer is complete. -EBADMSG: it is another.
 */
ssize_t parser_take(struct parser *parser, const struct protocol *protocol, struct tag tag,
                    const char *data, size_t size, bool *done);

#endif
