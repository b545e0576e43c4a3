/* How many handles a runtime has (rt/runtime.h says what that keeps). */
#include "base/assert.h"
#include "rt/runtime.h"

#define HANDLE_GONE "a handle of a runtime that was given back already"

/* Relaxed: a new handle is made from one that the caller has. */
lido_runtime *lido_runtime_ref(lido_runtime *runtime)
{
    uint32_t before = lido__fetch_add(&runtime->handles, 1, LIDO__RELAXED);
    LIDO__REQUIRE(before > 0, HANDLE_GONE);
    return runtime;
}

/* Acq_rel: the last one frees it after all others have used it, and sees that it has ended. */
void lido_runtime_unref(lido_runtime *runtime)
{
    if (!runtime)
        return;
    uint32_t before = lido__fetch_sub(&runtime->handles, 1, LIDO__ACQ_REL);
    LIDO__REQUIRE(before > 0, HANDLE_GONE);
    if (before > 1)
        return;
    LIDO__REQUIRE(lido__load(&runtime->closing, LIDO__RELAXED) == LIDO__CLOSING_ENDED,
                  "the last handle of a runtime was given back, and nobody has ended it");
    lido__runtime_bury(runtime);
}
