/*
 * A copy between two connections, of which the test has the outer ends: it writes a text into the one and
 * expects it from the other. All of it is called from a task, and fails the test on any error.
 */
#ifndef TESTS_SUPPORT_LINK_H
#define TESTS_SUPPORT_LINK_H

#include "support/net.h"

/* From the inner end of one connection to that of another. */
struct link {
    lido_stream *from[2]; /* [0]: of the test */
    lido_stream *to[2];
    uint64_t done;
};

void link_open(struct link *link);      /* TCP */
void link_open_unix(struct link *link); /* Unix pairs */
void link_close(struct link *link);

/* The fiber that copies; its argument is the link. */
int link_copy(void *link);

/* A text for each seed, which does not repeat at the size of any buffer. */
struct text {
    lido_stream *stream;
    uint64_t seed;
    size_t size;
    size_t piece; /* it is written in pieces of 1 byte to so many; 0: of 4096 */
};

/* The fiber that writes one and ends the direction; its argument is the text. */
int text_write(void *text);

/* The fiber that reads one to its end, wherever that is, and says so in text->size. */
int text_read(void *text);

/* Reads so much of the text of `seed` from an offset on. */
void text_expect(lido_stream *stream, uint64_t seed, uint64_t offset, size_t size);

#endif
