#include "net/borrow.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/fork.h"
#include "os/os.h"

struct borrowed {
    struct borrowed *next;
    int fd;
};

/* By descriptor, since a server may have taken over all of its connections. */
#define BUCKETS 1024

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct borrowed *buckets[BUCKETS];

static void enlist(struct borrowed *borrowed, int fd)
{
    struct borrowed **bucket = &buckets[fd % BUCKETS];
    borrowed->fd = fd;
    pthread_mutex_lock(&lock);
    borrowed->next = *bucket;
    *bucket = borrowed;
    pthread_mutex_unlock(&lock);
}

/* NULL: it was given back with all others, when the last runtime ended. */
static struct borrowed *delist(int fd)
{
    struct borrowed **link = &buckets[fd % BUCKETS];
    pthread_mutex_lock(&lock);
    while (*link && (*link)->fd != fd)
        link = &(*link)->next;
    struct borrowed *found = *link;
    if (found)
        *link = found->next;
    pthread_mutex_unlock(&lock);
    return found;
}

static bool is_refusal(int error)
{
    return error == -EPERM || error == -EACCES || error == -ENOSYS;
}

int lido__borrow(int fd)
{
    int blocks = lido__fd_blocks(fd);
    /* Where a sandbox does not let it be asked, it is not known how to give it back. */
    if (blocks < 0 && !is_refusal(blocks))
        return blocks;
    bool borrows = blocks > 0;
    struct borrowed *borrowed = NULL;
    if (borrows) {
        borrowed = lido__fault("malloc") < 0 ? NULL : malloc(sizeof(*borrowed));
        if (!borrowed)
            return -ENOMEM;
    }
    int r = blocks ? lido__fd_set_nonblocking(fd) : 0;
    if (r < 0) {
        free(borrowed);
        return r;
    }
    lido__fd_close_on_exec(fd);
    if (borrows)
        enlist(borrowed, fd);
    return borrows;
}

void lido__give_back(int fd, bool blocks)
{
    struct borrowed *found = delist(fd);
    if (found && blocks)
        lido__fd_set_blocking(fd);
    free(found);
}

void lido__give_back_all(void)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < BUCKETS; i++) {
        while (buckets[i]) {
            struct borrowed *borrowed = buckets[i];
            buckets[i] = borrowed->next;
            lido__fd_set_blocking(borrowed->fd);
            free(borrowed);
        }
    }
    pthread_mutex_unlock(&lock);
}

/* A program that exits in the middle of a task. The child of a fork has nothing to give back. */
__attribute__((destructor)) static void give_back_at_exit(void)
{
    if (!lido__forked)
        lido__give_back_all();
}
