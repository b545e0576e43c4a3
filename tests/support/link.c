#include "support/link.h"

#define PIECE 4096
#define PIECE_MAX ((size_t)256 * 1024)

/* ---- Links ------------------------------------------------------------------------------------- */

void link_open(struct link *link)
{
    net_pair(link->from);
    net_pair(link->to);
    link->done = UINT64_MAX;
}

void link_open_unix(struct link *link)
{
    net_unix_pair(link->from);
    net_unix_pair(link->to);
    link->done = UINT64_MAX;
}

void link_close(struct link *link)
{
    net_close_pair(link->from);
    net_close_pair(link->to);
}

int link_copy(void *arg)
{
    struct link *link = arg;
    return (int)lido_copy(link->to[1], link->from[1], &link->done);
}

/* ---- Texts ------------------------------------------------------------------------------------- */

static void fill(unsigned char *bytes, uint64_t seed, uint64_t offset, size_t size)
{
    for (size_t i = 0; i < size; i++, offset++)
        bytes[i] = (unsigned char)((offset * 131 + offset / 251 + seed * 17) >> 1);
}

static size_t next_piece(const struct text *text, uint64_t *random, size_t left)
{
    size_t piece = PIECE;
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    if (text->piece)
        piece = 1 + (size_t)(*random >> 33) % text->piece;
    return piece < left ? piece : left;
}

int text_write(void *arg)
{
    struct text *text = arg;
    size_t most = text->piece ? text->piece : PIECE;
    uint64_t random = text->seed;
    int r = 0;
    check(most <= PIECE_MAX);
    unsigned char *bytes = malloc(most);
    check(bytes != NULL);
    for (size_t sent = 0; sent < text->size && r >= 0;) {
        size_t n = next_piece(text, &random, text->size - sent);
        fill(bytes, text->seed, sent, n);
        ssize_t written = lido_write_all(text->stream, bytes, n, NULL);
        r = written < 0 ? (int)written : 0;
        sent += n;
    }
    free(bytes);
    return r < 0 ? r : lido_shutdown_stream(text->stream, LIDO_SIDE_WRITE);
}

/* Some of the text, at most PIECE bytes; 0: its end. */
static size_t expect_some(lido_stream *stream, uint64_t seed, uint64_t offset, size_t most)
{
    unsigned char part[PIECE], wanted[PIECE];
    ssize_t n = lido_read(stream, part, most < PIECE ? most : PIECE);
    check(n >= 0);
    fill(wanted, seed, offset, (size_t)n);
    check_bytes(part, wanted, (size_t)n);
    return (size_t)n;
}

int text_read(void *arg)
{
    struct text *text = arg;
    size_t n;
    text->size = 0;
    while ((n = expect_some(text->stream, text->seed, text->size, PIECE)) > 0)
        text->size += n;
    return 0;
}

void text_expect(lido_stream *stream, uint64_t seed, uint64_t offset, size_t size)
{
    while (size > 0) {
        size_t n = expect_some(stream, seed, offset, size);
        check(n > 0);
        offset += n;
        size -= n;
    }
}
