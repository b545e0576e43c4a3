#include "sched/rescue.h"

#include "os/os.h"
#include "sched/section.h"
#include "sched/share.h"

/* Relaxed: it is a guess, which try_seize confirms. */
uint64_t lido__worker_progress(const struct lido__worker *worker)
{
    if (!lido__load(&worker->current, LIDO__RELAXED) || lido__section_seen(worker))
        return 0;
    uint64_t turns = lido__load(&worker->turns, LIDO__RELAXED);
    return (turns << 32 | lido__load(&worker->slice_left, LIDO__RELAXED)) + 1;
}

unsigned lido__worker_rescue(struct lido__worker *worker)
{
    if (!lido__gate_try_seize(&worker->gate))
        return 0;
    lido__worker_peek(worker, lido__clock_now());
    lido__worker_take_mail(worker);
    unsigned moved = lido__share_evacuate(worker);
    lido__gate_release(&worker->gate);
    return moved;
}
