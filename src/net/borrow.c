#include "net/borrow.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/fork.h"
#include "base/list.h"
#include "os/os.h"

struct borrowed {
    struct lido__node node;
    int fd;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct lido__node all = {&all, &all};

static void enlist(struct borrowed *borrowed, int fd)
{
    borrowed->fd = fd;
    pthread_mutex_lock(&lock);
    lido__list_push(&all, &borrowed->node);
    pthread_mutex_unlock(&lock);
}

int lido__borrow(int fd)
{
    int blocks = lido__fd_blocks(fd);
    if (blocks < 0)
        return blocks;
    struct borrowed *borrowed = NULL;
    if (blocks) {
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
    if (blocks)
        enlist(borrowed, fd);
    return blocks;
}

void lido__give_back(int fd, bool blocks)
{
    struct borrowed *found = NULL;
    pthread_mutex_lock(&lock);
    for (struct lido__node *n = all.next; n != &all && !found; n = n->next) {
        struct borrowed *borrowed = lido__container_of(n, struct borrowed, node);
        if (borrowed->fd == fd)
            found = borrowed;
    }
    if (found)
        lido__list_remove(&found->node);
    pthread_mutex_unlock(&lock);
    if (found && blocks)
        lido__fd_set_blocking(fd);
    free(found);
}

void lido__give_back_all(void)
{
    pthread_mutex_lock(&lock);
    while (all.next != &all) {
        struct borrowed *borrowed = lido__container_of(all.next, struct borrowed, node);
        lido__list_remove(&borrowed->node);
        lido__fd_set_blocking(borrowed->fd);
        free(borrowed);
    }
    pthread_mutex_unlock(&lock);
}

/* A program that exits in the middle of a task. The child of a fork has nothing to give back. */
__attribute__((destructor)) static void give_back_at_exit(void)
{
    if (!lido__forked)
        lido__give_back_all();
}
