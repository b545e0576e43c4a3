#include "reactor/handle.h"

#include "base/fault.h"
#include "base/slab.h"

static struct lido__slab handles = LIDO__SLAB_INIT(LIDO__SLAB_HANDLE, sizeof(struct lido__handle));

struct lido__handle *lido__handle_new(int fd, enum lido__handle_kind kind)
{
    struct lido__handle *handle = lido__fault("handle") < 0 ? NULL : lido__slab_alloc(&handles);
    if (!handle)
        return NULL;
    handle->fd = fd;
    handle->kind = (uint8_t)kind;
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
    lido__slab_free(&handles, handle);
}
