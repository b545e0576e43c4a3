#include "reactor/reactor.h"

#include <string.h>

#include "reactor/epoll.h"

const struct lido__reactor_ops *const lido__reactors[] = {
    &lido__epoll,
    NULL,
};

const struct lido__reactor_ops *lido__reactor_find(const char *name)
{
    if (!name)
        return lido__reactors[0];
    for (size_t i = 0; lido__reactors[i]; i++)
        if (strcmp(lido__reactors[i]->name, name) == 0)
            return lido__reactors[i];
    return NULL;
}
