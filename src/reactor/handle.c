#include "reactor/handle.h"

#include <errno.h>
#include <poll.h>

#include "base/fault.h"
#include "base/ledger.h"
#include "base/slab.h"
#include "os/os.h"

static struct lido__slab handles = LIDO__SLAB_INIT(LIDO__SLAB_HANDLE, sizeof(struct lido__handle));

static const char *name_of(enum lido__handle_kind kind)
{
    switch (kind) {
    case LIDO__HANDLE_LISTENER: return "listener";
    case LIDO__HANDLE_DATAGRAM: return "datagram socket";
    case LIDO__HANDLE_FOREIGN: return "watched descriptor";
    default: return "stream";
    }
}

struct lido__handle *lido__handle_new(int fd, enum lido__handle_kind kind)
{
    struct lido__handle *handle = lido__fault("handle") < 0 ? NULL : lido__slab_alloc(&handles);
    if (!handle)
        return NULL;
    lido__ledger_note(handle, name_of(kind), NULL, NULL);
    handle->fd = fd;
    lido__store(&handle->kind, (uint8_t)kind, LIDO__RELAXED);
    handle->flags = 0;
    handle->owner = NULL;
    lido__handle_register(handle, NULL, 0);
    /* The first try of each side costs nothing if it succeeds, and it mostly does. */
    lido__store(&handle->side[0], LIDO__SIDE_READY, LIDO__RELAXED);
    lido__store(&handle->side[1], LIDO__SIDE_READY, LIDO__RELAXED);
    return handle;
}

void lido__handle_free(struct lido__handle *handle)
{
    lido__ledger_strike(handle);
    handle->fd = -1;
    /* Relaxed: a task whose op was taken from the side looks once more before it learns that
       (retry_any). */
    lido__store(&handle->kind, (uint8_t)LIDO__HANDLE_CLOSED, LIDO__RELAXED);
    lido__slab_free(&handles, handle);
}

static bool may_be_death(ssize_t error)
{
    switch (error) {
    case -ECONNABORTED:
    case -ECONNREFUSED:
    case -ECONNRESET:
    case -EHOSTDOWN:
    case -EHOSTUNREACH:
    case -EIO:
    case -ENETDOWN:
    case -ENETRESET:
    case -ENETUNREACH:
    case -EPIPE:
    case -EPROTO: return true;
    default: return false;
    }
}

void lido__handle_note(struct lido__handle *handle, ssize_t error)
{
    uintptr_t before = lido__load(&handle->error, LIDO__RELAXED);
    /* The first, except that an EPIPE, which a writer is told, says less than what a reader is
       told. */
    if (!may_be_death(error) || (before > LIDO__STREAM_ENDED && before != EPIPE))
        return;
    if (error == -EPIPE && before == LIDO__STREAM_ENDED)
        return;
    /* Some can also be told of a connection that lives: an EPIPE for which the peer has only ended
       its reading, an ICMP error that the program has asked for. */
    int found = lido__os_poll(handle->fd, 0);
    if (found > 0 && found & POLLHUP)
        lido__store(&handle->error, (uintptr_t)-error, LIDO__RELAXED);
}
