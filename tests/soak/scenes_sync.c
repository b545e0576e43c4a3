/* Scenes of one-shots, events, mutexes and scopes. */
#include <errno.h>

#include "soak/scene.h"
#include "soak/watchdog.h"

#define CAST_MAX 6

/* ---- Letters: one-shots in memory that whoever comes second frees ------------------------------------------ */

#define LETTERS 8

struct letter {
    lido_oneshot oneshot;
    unsigned number;
    unsigned text; /* written by the sender */
};

struct post_office {
    struct letter *letters[LETTERS];
};

static void send_letter(struct part *part, struct letter *letter)
{
    unsigned number = letter->number;
    letter->text = number * 3;
    int r = draw(part, 6) == 0 ? lido_oneshot_close_sender(&letter->oneshot)
                               : lido_oneshot_send(&letter->oneshot, letter);
    insist(r == 0 || r == -EPIPE);
    if (r == -EPIPE)
        free(letter);
}

static int send_letters(struct part *part)
{
    const struct post_office *office = part->arg;
    for (unsigned i = 0; i < LETTERS; i++) {
        pause_some(part);
        send_letter(part, office->letters[i]);
    }
    return 0;
}

/* Says that it does not want the letter any more; then only the sender uses it. Or takes what has come. */
static ssize_t refuse(struct letter *letter, void **value)
{
    int r = lido_oneshot_close_receiver(&letter->oneshot);
    if (r == 0)
        return -ECANCELED;
    insist(r == -EALREADY);
    return lido_oneshot_try_recv(&letter->oneshot, value);
}

static ssize_t receive_letter(struct part *part, struct letter *letter, void **value)
{
    struct limit limit = limit_begin(part, draw(part, 3) ? 1000 : draw(part, 2));
    ssize_t r = attempt_or(part, -EPIPE, lido_oneshot_recv(&letter->oneshot, value));
    limit_end(part, &limit);
    return r < 0 && r != -EPIPE ? refuse(letter, value) : r;
}

static void open_letter(struct part *part, struct letter *letter, unsigned number)
{
    void *value = NULL;
    ssize_t r = draw(part, 8) == 0 ? refuse(letter, &value) : receive_letter(part, letter, &value);
    insist(r == 0 || r == -EPIPE || r == -ECANCELED);
    if (r == 0) {
        insist(value == letter);
        insist(letter->number == number && letter->text == number * 3);
    }
    if (r != -ECANCELED)
        free(letter);
}

void play_letters(struct part *part)
{
    struct post_office office;
    struct part *sender = part_new(part, "letters", send_letters, &office);
    lido_task *task = NULL;
    for (unsigned i = 0; i < LETTERS; i++) {
        office.letters[i] = calloc(1, sizeof(struct letter));
        insist(office.letters[i]);
        office.letters[i]->number = i;
    }
    bool sends = part_spawn(part, sender, &task) == 0;
    for (unsigned i = 0; i < LETTERS; i++) {
        if (sends)
            open_letter(part, office.letters[i], i);
        else
            free(office.letters[i]);
    }
    if (sends)
        part_finish(part, sender, task);
}

/* ---- A turnstile: each who passes notifies the next ----------------------------------------------------------- */

struct turnstile {
    lido_event event;
    lido__shared uint32_t open;
};

struct visitor {
    struct turnstile *turnstile;
    lido_wait wait; /* a future's */
};

static bool is_open(const struct turnstile *turnstile)
{
    return lido__load(&turnstile->open, LIDO__ACQUIRE);
}

static int pass(struct part *part)
{
    const struct visitor *visitor = part->arg;
    struct turnstile *turnstile = visitor->turnstile;
    ssize_t r = 0;
    while (r == 0 && !is_open(turnstile))
        r = attempt(part, lido_event_wait(&turnstile->event));
    if (is_open(turnstile))
        lido_event_notify_one(&turnstile->event);
    return (int)r;
}

static int poll_pass(struct part *part, const lido_waker *waker)
{
    struct visitor *visitor = part->arg;
    struct turnstile *turnstile = visitor->turnstile;
    int r = 0;
    while (r == 0 && !is_open(turnstile)) {
        r = lido_event_wait_poll(&turnstile->event, &visitor->wait, waker);
        if (r == LIDO_PENDING)
            return r;
        part_judge(part, r, 0, "lido_event_wait_poll", LIDO_HERE);
    }
    lido_wait_forgo(&visitor->wait); /* polled for another reason, it still waits */
    if (is_open(turnstile))
        lido_event_notify_one(&turnstile->event);
    return r;
}

/* Opening comes first, so that whoever looks after it does not wait, and who waits before it is notified. */
void play_turnstile(struct part *part)
{
    struct turnstile turnstile = {.event = LIDO_EVENT_INIT};
    struct visitor visitors[CAST_MAX] = {0};
    struct part *parts[CAST_MAX];
    lido_task *tasks[CAST_MAX];
    unsigned count = 0;
    for (unsigned i = 1 + draw(part, CAST_MAX); i > 0; i--) {
        visitors[count].turnstile = &turnstile;
        parts[count] = part_new(part, "at the turnstile", pass, &visitors[count]);
        parts[count]->poll = draw(part, 3) == 0 ? poll_pass : NULL;
        count += part_spawn(part, parts[count], &tasks[count]) == 0;
    }
    pause_some(part);
    lido_event_notify_all(&turnstile.event); /* in vain: they wait again */
    pause_some(part);
    lido__store(&turnstile.open, 1, LIDO__RELEASE);
    lido_event_notify_one(&turnstile.event);
    while (count-- > 0)
        part_finish(part, parts[count], tasks[count]);
}

/* ---- A token: the one permit of an event, which goes round ----------------------------------------------------- */

#define TURNS 8

struct ring {
    lido_event token;
    unsigned holders; /* of the token; theirs */
};

struct player {
    struct ring *ring;
    unsigned turns;
    lido_wait wait; /* a future's */
};

static void begin_turn(struct ring *ring)
{
    insist(ring->holders++ == 0);
}

static void end_turn(struct ring *ring)
{
    insist(--ring->holders == 0);
    lido_event_notify_one(&ring->token);
}

static int take_turns(struct part *part)
{
    struct player *player = part->arg;
    for (; player->turns > 0; player->turns--) {
        if (attempt(part, lido_event_wait(&player->ring->token)) < 0)
            break;
        begin_turn(player->ring);
        pause_some(part);
        end_turn(player->ring);
    }
    return 0;
}

/* Now and then it gives up, also when it has been given the token: that goes to the next. */
static int poll_turns(struct part *part, const lido_waker *waker)
{
    struct player *player = part->arg;
    for (; player->turns > 0; player->turns--) {
        if (draw(part, 3) == 0)
            lido_wait_forgo(&player->wait);
        int r = lido_event_wait_poll(&player->ring->token, &player->wait, waker);
        if (r == LIDO_PENDING)
            return r;
        if (part_judge(part, r, 0, "lido_event_wait_poll", LIDO_HERE) < 0)
            break;
        begin_turn(player->ring);
        end_turn(player->ring);
    }
    return 0;
}

void play_token(struct part *part)
{
    struct ring ring = {.token = LIDO_EVENT_INIT};
    struct player players[CAST_MAX] = {0};
    struct part *parts[CAST_MAX];
    lido_task *tasks[CAST_MAX];
    unsigned count = 0;
    for (unsigned i = 1 + draw(part, CAST_MAX); i > 0; i--) {
        players[count] = (struct player){.ring = &ring, .turns = TURNS};
        parts[count] = part_new(part, "player", take_turns, &players[count]);
        parts[count]->poll = draw(part, 2) ? poll_turns : NULL;
        count += part_spawn(part, parts[count], &tasks[count]) == 0;
    }
    lido_event_notify_one(&ring.token);
    while (count-- > 0)
        part_finish(part, parts[count], tasks[count]);
    insist(ring.holders == 0);
}

/* ---- A mutex ---------------------------------------------------------------------------------------------------- */

struct guarded {
    lido_mutex mutex;
    unsigned inside; /* guarded, as the next */
    uint64_t visits;
    lido__shared uint64_t locked; /* how often */
};

static ssize_t lock_in_time(struct part *part, struct guarded *guarded)
{
    struct limit limit = limit_begin(part, draw(part, 2));
    ssize_t r = attempt(part, lido_mutex_lock(&guarded->mutex));
    limit_end(part, &limit);
    return r;
}

static ssize_t lock(struct part *part, struct guarded *guarded)
{
    switch (draw(part, 6)) {
    case 0: return lido_mutex_try_lock(&guarded->mutex);
    case 1: return attempt(part, lido_mutex_lock_anyway(&guarded->mutex));
    case 2: return lock_in_time(part, guarded);
    default: return attempt(part, lido_mutex_lock(&guarded->mutex));
    }
}

static int visit(struct part *part)
{
    struct guarded *guarded = part->arg;
    for (unsigned i = 0; i < 10; i++) {
        if (lock(part, guarded) < 0)
            continue;
        insist(guarded->inside++ == 0);
        guarded->visits++;
        tally(&guarded->locked, 1);
        pause_some(part);
        insist(--guarded->inside == 0);
        insist(lido_mutex_unlock(&guarded->mutex) == 0);
    }
    return 0;
}

void play_mutex(struct part *part)
{
    struct guarded guarded = {.mutex = LIDO_MUTEX_INIT};
    struct part *parts[CAST_MAX];
    lido_task *tasks[CAST_MAX];
    unsigned count = 0;
    for (unsigned i = 1 + draw(part, CAST_MAX); i > 0; i--) {
        parts[count] = part_new(part, "visitor", visit, &guarded);
        count += part_spawn(part, parts[count], &tasks[count]) == 0;
    }
    while (count-- > 0)
        part_finish(part, parts[count], tasks[count]);
    insist(guarded.visits == guarded.locked);
    insist(lido_mutex_try_lock(&guarded.mutex) == 0);
}

/* ---- A scope ----------------------------------------------------------------------------------------------------- */

struct company {
    lido_scope scope;
    struct part *owner;
    struct part *parts[CAST_MAX];
    int results[CAST_MAX];
    unsigned count;
    lido__shared uint32_t recruits;
};

static int serve_time(struct part *part)
{
    pause_some(part);
    return draw(part, 4) == 0 ? wait_for_ever(part) : (int)draw(part, 100);
}

/* All of the scope may be cancelled from now on; the parts that come later too. */
static void provoke_all(struct company *company)
{
    part_provoke(company->owner);
}

/* Recruits others, fails, or serves its time. */
static int enlist(struct part *part)
{
    struct company *company = part->arg;
    switch (draw(part, 5)) {
    case 0: {
        struct part *recruit = part_new_on(part->host, part, "recruit", serve_time, NULL);
        recruit->owner = company->owner;
        return part_scope_spawn(part, recruit, &company->scope, NULL);
    }
    case 1:
        if (company->scope.cancel_on_error)
            provoke_all(company);
        return -EBADMSG;
    default: return serve_time(part);
    }
}

static int await_scope(struct part *part, struct company *company)
{
    if (draw(part, 4) == 0)
        lido_scope_cancel(&company->scope);
    if (draw(part, 4) == 0) {
        struct limit limit = limit_begin(part, draw(part, 4));
        part_does(part, "lido_scope_wait");
        int r = lido_scope_wait(&company->scope);
        part_does(part, NULL);
        limit_end(part, &limit);
        return r;
    }
    return lido_scope_stop(&company->scope);
}

/* Of the errors that its tasks have returned. What interrupted the owner is one more; those of recruits are too. */
static void check_scope(const struct company *company, int r)
{
    bool failed = r == 0 || r == -ECANCELED || r == -ETIMEDOUT || r == -ESHUTDOWN;
    for (unsigned i = 0; i < company->count; i++) {
        const struct part *part = company->parts[i];
        insist(part->refused || company->results[i] == part->result);
        insist(r < 0 || company->results[i] >= 0);
        failed = failed || company->results[i] == r;
    }
    if (!failed)
        fail_soak("lido_scope_wait: %s, and no task has returned that", lido_strerror(r));
}

/* A task of its own owns the scope: what interrupts the tasks is provoked in it alone. */
static int own_scope(struct part *part)
{
    struct company company = {.scope = LIDO_SCOPE_INIT, .owner = part};
    company.scope.cancel_on_error = draw(part, 2);
    for (unsigned i = 1 + draw(part, CAST_MAX); i > 0; i--) {
        struct part *member = part_new_on(part->host, part, "member", enlist, &company);
        member->owner = part;
        company.parts[company.count] = member;
        int *result = &company.results[company.count++];
        part_scope_spawn(part, member, &company.scope, result);
    }
    pause_some(part);
    provoke_all(&company);
    check_scope(&company, await_scope(part, &company));
    return 0;
}

void play_scope(struct part *part)
{
    struct part *owner = part_new(part, "owner of a scope", own_scope, NULL);
    lido_task *task;
    if (part_spawn(part, owner, &task) == 0)
        part_finish(part, owner, task);
}
