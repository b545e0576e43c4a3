/* What all kinds of sockets share: coming into being, and closing. */
#include <errno.h>

#include "base/assert.h"
#include "base/fork.h"
#include "net/borrow.h"
#include "net/net.h"
#include "net/pause.h"
#include "net/socket.h"
#include "os/os.h"
#include "reactor/ready.h"
#include "sched/wake.h"

int lido__net_check(void)
{
    return lido_self() ? 0 : -ENXIO;
}

int lido__net_adopt(struct lido__handle **ret_handle, int fd, enum lido__handle_kind kind)
{
    struct lido__handle *handle = lido__handle_new(fd, kind);
    if (!handle) {
        lido__os_close(fd);
        return -ENOMEM;
    }
    *ret_handle = handle;
    return 0;
}

int lido__net_take_over(struct lido__handle **ret_handle, int fd, enum lido__handle_kind kind)
{
    struct lido__handle *handle = lido__handle_new(fd, kind);
    if (!handle)
        return -ENOMEM;
    int r = lido__borrow(fd);
    if (r < 0) {
        lido__handle_free(handle);
        return r;
    }
    handle->flags |= r > 0 ? LIDO__BORROWED : 0;
    *ret_handle = handle;
    return 0;
}

/* The last of the descriptor, which goes on if it is kept. */
static void let_go_of(struct lido__handle *handle, bool keep_fd)
{
    if (handle->flags & LIDO__BORROWED)
        lido__give_back(handle->fd, !keep_fd);
    if (keep_fd)
        return;
    if (handle->flags & LIDO__LINGERS)
        lido__option_unlinger(handle->fd);
    lido__os_close(handle->fd);
    lido__pause_descriptor_freed();
}

void lido__net_close(struct lido__handle *handle, bool keep_fd)
{
    struct lido__fifo taken;
    LIDO__REQUIRE(handle->kind != LIDO__HANDLE_CLOSED,
                  "a stream, listener or datagram socket was closed twice");
    if (lido__forked) {
        if (!keep_fd)
            lido__os_close(handle->fd); /* all else is the parent's too */
        return;
    }
    lido__fifo_init(&taken);
    lido__ready_take(handle, &taken);
    /* After that no task can register it any more. */
    struct lido__reactor *reactor = lido__handle_reactor(handle);
    if (reactor)
        reactor->ops->release(reactor, handle);
    /* Before the descriptor, as long as which lives the path's inode is of this socket only. */
    if (handle->kind == LIDO__HANDLE_LISTENER || handle->kind == LIDO__HANDLE_DATAGRAM)
        lido__unbind_unix(handle->owner);
    let_go_of(handle, keep_fd);
    lido__handle_free(handle);
    /* Last: a task that is told may be gone with its op, and never looks at the handle again. */
    lido__deliver(&taken, LIDO__OP_SETTLED, -ECANCELED);
}
