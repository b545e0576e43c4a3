/*
 * Reads HTTP/1.1 answers to GET as they come, in pieces of any size, without keeping them: finds where each
 * one ends by its Content-Length.
 */
#ifndef LOAD_HTTP_H
#define LOAD_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* All zero at the beginning of each answer. */
struct http_answer {
    uint8_t state;
    uint8_t header;  /* whose name is being read */
    uint8_t matched; /* bytes of it, or of the status line */
    bool has_length;
    bool closes; /* the server ends the connection after it */
    uint16_t status;
    uint64_t length; /* of the body: what is left to come */
};

/*
 * Takes in what belongs to this answer, of `size` bytes. Returns how many these are; *done says that
 * the answer is complete. -EBADMSG: it is no HTTP/1 answer, or does not say its length (chunked ones do
 * not).
 */
ssize_t http_take(struct http_answer *answer, const char *data, size_t size, bool *done);

#endif
