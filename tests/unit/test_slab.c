#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/atomic.h"
#include "base/sanitize.h"
#include "base/slab.h"

#define BATCH 64
#define MAGAZINE 128
#define CHUNK_BYTES 65536
#define SIZE 48
#define MANY 10000

/*
 * A thread has one magazine for each class, and a class one slab. So that each test can have a slab
 * of its own, it does its work in threads that it starts, and the main thread, which owns no
 * magazine, looks at the results.
 */
struct work {
    struct lido__slab *slab;
    void **objects;
    int count;
    int failures;
};

static void run(void *(*body)(void *), struct work *work)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, body, work), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(work->failures, 0);
}

static void *allocate(void *arg)
{
    struct work *work = arg;
    for (int i = 0; i < work->count; i++) {
        work->objects[i] = lido__slab_alloc(work->slab);
        work->failures += work->objects[i] == NULL;
    }
    return NULL;
}

static void *release(void *arg)
{
    struct work *work = arg;
    for (int i = 0; i < work->count; i++)
        lido__slab_free(work->slab, work->objects[i]);
    return NULL;
}

static int full_batches(const struct lido__slab *slab)
{
    int count = 0;
    for (const void *const *batch = (const void *)slab->full; batch; batch = *batch)
        count++;
    return count;
}

static int chunks(const struct lido__slab *slab)
{
    int count = 0;
    for (const void *const *chunk = (const void *)slab->chunks; chunk; chunk = *chunk)
        count++;
    return count;
}

static size_t chunk_bytes(const struct lido__slab *slab)
{
    size_t bytes = 0;
    for (const void *const *chunk = (const void *)slab->chunks; chunk; chunk = *chunk)
        bytes += malloc_usable_size((void *)chunk);
    return bytes;
}

/* The memory of a finished test: nobody else holds a pointer to it. */
static void destroy(struct lido__slab *slab)
{
    while (slab->chunks) {
        void *chunk = slab->chunks;
        memcpy(&slab->chunks, chunk, sizeof(void *));
        free(chunk);
    }
}

static int by_address(const void *a, const void *b)
{
    uintptr_t left = *(const uintptr_t *)a;
    uintptr_t right = *(const uintptr_t *)b;
    return (left > right) - (left < right);
}

static void *fresh_memory(void *arg)
{
    struct work *work = arg;
    static const char zeros[SIZE];
    for (int i = 0; i < work->count; i++) {
        void *object = lido__slab_alloc(work->slab);
        work->failures += object == NULL || memcmp(object, zeros, SIZE) != 0;
    }
    return NULL;
}

static void an_object_that_was_never_used_is_zero(void **state)
{
    (void)state;
    struct lido__slab slab = LIDO__SLAB_INIT(LIDO__SLAB_HANDLE, SIZE);
    struct work work = {.slab = &slab, .count = 3000};
    run(fresh_memory, &work);
    destroy(&slab);
}

static void *use_again(void *arg)
{
    struct work *work = arg;
    unsigned char *first = lido__slab_alloc(work->slab);
    memset(first, 0xab, SIZE);
    lido__slab_free(work->slab, first);

    unsigned char *second = lido__slab_alloc(work->slab);
    work->failures += second != first;
    for (int i = 0; i < SIZE; i++)
        work->failures += second[i] != (i < 8 ? 0 : 0xab);
    return NULL;
}

static void reuse_keeps_everything_but_the_first_8_bytes(void **state)
{
    (void)state;
    struct lido__slab slab = LIDO__SLAB_INIT(LIDO__SLAB_HANDLE, SIZE);
    struct work work = {.slab = &slab};
    run(use_again, &work);
    destroy(&slab);
}

static void *read_after_free(void *arg)
{
    struct work *work = arg;
    for (int i = 0; i < work->count; i++) {
        ((unsigned char *)work->objects[i])[SIZE - 1] = 0xcd;
        lido__slab_free(work->slab, work->objects[i]);
        work->failures += ((unsigned char *)work->objects[i])[SIZE - 1] != 0xcd;
    }
    return NULL;
}

/* A late event of the kernel reads the generation in a handle that has been freed. */
static void a_freed_handle_can_still_be_read(void **state)
{
    (void)state;
    struct lido__slab slab = LIDO__SLAB_INIT(LIDO__SLAB_HANDLE, SIZE);
    void *objects[500];
    struct work work = {.slab = &slab, .objects = objects, .count = 500};
    run(allocate, &work);
    run(read_after_free, &work);
    destroy(&slab);
}

static void check_density(uint32_t size, uint32_t expected)
{
    struct lido__slab slab = LIDO__SLAB_INIT(LIDO__SLAB_HANDLE, size);
    static void *objects[MANY];
    struct work work = {.slab = &slab, .objects = objects, .count = MANY};
    assert_int_equal(slab.size, expected);
    run(allocate, &work);

    qsort(objects, MANY, sizeof(objects[0]), by_address);
    int neighbours = 0;
    for (int i = 1; i < MANY; i++) {
        uintptr_t distance = (uintptr_t)objects[i] - (uintptr_t)objects[i - 1];
        assert_true(distance >= expected);
        neighbours += distance == expected;
    }
    assert_int_equal((uintptr_t)objects[0] % 8, 0);
    assert_in_range(neighbours, MANY - 1 - chunks(&slab), MANY - 1);
    /* A batch costs 16 bytes, which is the more the smaller the objects are; then the last chunk. */
    assert_true(chunk_bytes(&slab) < (size_t)MANY * expected * 104 / 100 + CHUNK_BYTES);
    destroy(&slab);
}

static void objects_lie_side_by_side(void **state)
{
    (void)state;
    check_density(48, 48);
    check_density(104, 104);
    check_density(8, 8);
}

static void a_size_is_rounded_to_8_bytes_and_no_more(void **state)
{
    (void)state;
    check_density(41, 48);
    check_density(97, 104);
}

static void an_object_may_be_larger_than_a_chunk(void **state)
{
    (void)state;
    struct lido__slab slab = LIDO__SLAB_INIT(LIDO__SLAB_HANDLE, 4000);
    void *objects[130];
    struct work work = {.slab = &slab, .objects = objects, .count = 130};
    run(allocate, &work);
    run(release, &work);
    assert_int_equal(chunks(&slab), 3);
    assert_int_equal(full_batches(&slab), 3);
    destroy(&slab);
}

/* The one that frees never ends here: what it has too much of must go through the depot. */
static void *release_and_look(void *arg)
{
    struct work *work = arg;
    release(work);
    int kept = work->count - full_batches(work->slab) * BATCH;
    work->failures += kept < 0 || kept > MAGAZINE;
    return NULL;
}

static void a_thread_that_only_frees_keeps_no_more_than_a_magazine(void **state)
{
    (void)state;
    struct lido__slab slab = LIDO__SLAB_INIT(LIDO__SLAB_HANDLE, SIZE);
    static void *objects[MANY];
    struct work work = {.slab = &slab, .objects = objects, .count = MANY};
    run(allocate, &work);
    run(release_and_look, &work);
    destroy(&slab);
}

static void what_one_thread_frees_another_allocates(void **state)
{
    (void)state;
    struct lido__slab slab = LIDO__SLAB_INIT(LIDO__SLAB_HANDLE, SIZE);
    static void *objects[MANY], *again[MANY];
    struct work work = {.slab = &slab, .objects = objects, .count = MANY};
    run(allocate, &work);
    run(release, &work);
    int before = chunks(&slab);
    work.objects = again;
    run(allocate, &work);
    assert_int_equal(chunks(&slab), before);
    qsort(again, MANY, sizeof(again[0]), by_address);
    for (int i = 1; i < MANY; i++)
        assert_ptr_not_equal(again[i], again[i - 1]);
    destroy(&slab);
}

static void a_thread_that_ends_leaves_nothing_behind(void **state)
{
    (void)state;
    struct lido__slab slab = LIDO__SLAB_INIT(LIDO__SLAB_HANDLE, SIZE);
    void *objects[10];
    struct work work = {.slab = &slab, .objects = objects, .count = 10};
    run(allocate, &work); /* took a batch, and the 54 that it did not use are loose now */
    assert_int_equal(slab.loose_count, BATCH - 10);
    run(release, &work); /* with these the batch is whole again */
    assert_int_equal(slab.loose_count, 0);
    assert_int_equal(full_batches(&slab), 1);
    destroy(&slab);
}

static void loose_objects_are_used_before_fresh_memory(void **state)
{
    (void)state;
    struct lido__slab slab = LIDO__SLAB_INIT(LIDO__SLAB_HANDLE, SIZE);
    void *objects[10];
    struct work work = {.slab = &slab, .objects = objects, .count = 10};
    run(allocate, &work);
    uint32_t fresh = slab.fresh_batches;
    run(allocate, &work);
    assert_int_equal(slab.fresh_batches, fresh);
    assert_int_equal(slab.loose_count, BATCH - 20);
    destroy(&slab);
}

static struct work *late_work;

static void free_late(void *object)
{
    lido__slab_free(late_work->slab, object);
}

/* glibc runs destructors in the order of their keys: the slab's key was made first. */
static void *free_in_a_destructor(void *arg)
{
    struct work *work = arg;
    pthread_key_t *key = work->objects[0];
    void *object = lido__slab_alloc(work->slab);
    work->failures += pthread_key_create(key, free_late) != 0;
    work->failures += pthread_setspecific(*key, object) != 0;
    return NULL;
}

static void what_is_freed_after_the_flush_is_flushed_too(void **state)
{
    (void)state;
    struct lido__slab slab = LIDO__SLAB_INIT(LIDO__SLAB_HANDLE, SIZE);
    pthread_key_t key;
    struct work work = {.slab = &slab, .objects = (void *[]){&key}};
    late_work = &work;
    run(free_in_a_destructor, &work);
    assert_int_equal(slab.loose_count, 0);
    assert_int_equal(full_batches(&slab), 1);
    pthread_key_delete(key);
    destroy(&slab);
}

static void free_takes_null(void **state)
{
    (void)state;
    struct lido__slab slab = LIDO__SLAB_INIT(LIDO__SLAB_HANDLE, SIZE);
    lido__slab_free(&slab, NULL);
    assert_null(slab.chunks);
}

static void *two_slabs_of_one_class(void *arg)
{
    struct work *work = arg;
    struct lido__slab other = LIDO__SLAB_INIT(LIDO__SLAB_HANDLE, SIZE);
    void *object = lido__slab_alloc(work->slab);
    for (int i = 0; i <= BATCH; i++)
        object = lido__slab_alloc(&other);
    lido__slab_free(&other, object);
    return NULL;
}

static void two_slabs_of_one_class_are_a_broken_invariant(void **state)
{
    (void)state;
    struct lido__slab slab = LIDO__SLAB_INIT(LIDO__SLAB_HANDLE, SIZE);
    struct work work = {.slab = &slab};
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        two_slabs_of_one_class(&work);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

#ifdef LIDO__ASAN

static void *free_poisoned(void *arg)
{
    struct work *work = arg;
    char *object = lido__slab_alloc(work->slab);
    work->failures += __asan_region_is_poisoned(object, 104) != NULL;
    lido__slab_free(work->slab, object);
    work->failures += !__asan_address_is_poisoned(object + 8);
    work->failures += !__asan_address_is_poisoned(object + 103);
    work->failures += lido__slab_alloc(work->slab) != object;
    work->failures += __asan_region_is_poisoned(object, 104) != NULL;
    return NULL;
}

#endif

static void a_use_after_free_is_reported_where_poison_was_asked_for(void **state)
{
    (void)state;
#ifdef LIDO__ASAN
    struct lido__slab slab = LIDO__SLAB_INIT_POISON(LIDO__SLAB_TASK, 104);
    struct work work = {.slab = &slab};
    run(free_poisoned, &work);
    destroy(&slab);
#else
    skip();
#endif
}

#define THREADS 4
#define SLOTS 64
#define ROUNDS 40000

/* `owners` is after the word that the free list uses; 1 while somebody holds the object. */
struct shared_object {
    void *word;
    uint32_t owners;
};

static struct lido__slab traffic_slab =
    LIDO__SLAB_INIT(LIDO__SLAB_TASK, sizeof(struct shared_object));
static lido__shared struct shared_object *slots[SLOTS];

static void *trade(void *arg)
{
    struct work *work = arg;
    uint32_t random = (uint32_t)work->count;
    for (int i = 0; i < ROUNDS; i++) {
        struct shared_object *mine = lido__slab_alloc(&traffic_slab);
        work->failures += lido__fetch_add(&mine->owners, 1, LIDO__RELAXED) != 0;
        random = random * 1664525u + 1013904223u;
        struct shared_object *theirs = lido__exchange(&slots[random >> 26], mine, LIDO__ACQ_REL);
        if (!theirs)
            continue;
        work->failures += lido__fetch_sub(&theirs->owners, 1, LIDO__RELAXED) != 1;
        lido__slab_free(&traffic_slab, theirs);
    }
    return NULL;
}

static void no_object_has_two_owners_when_threads_trade(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    struct work works[THREADS] = {{0}};
    for (int i = 0; i < THREADS; i++) {
        works[i].count = i + 1;
        assert_int_equal(pthread_create(&threads[i], NULL, trade, &works[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(works[i].failures, 0);
    }
    /* 64 in the slots and at most a magazine for each thread, whatever the number of rounds. */
    size_t most = SLOTS + THREADS * (MAGAZINE + BATCH);
    assert_in_range(chunks(&traffic_slab), 1,
                    1 + most * sizeof(struct shared_object) / CHUNK_BYTES);
    destroy(&traffic_slab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_that_was_never_used_is_zero),
        cmocka_unit_test(reuse_keeps_everything_but_the_first_8_bytes),
        cmocka_unit_test(a_freed_handle_can_still_be_read),
        cmocka_unit_test(objects_lie_side_by_side),
        cmocka_unit_test(a_size_is_rounded_to_8_bytes_and_no_more),
        cmocka_unit_test(an_object_may_be_larger_than_a_chunk),
        cmocka_unit_test(a_thread_that_only_frees_keeps_no_more_than_a_magazine),
        cmocka_unit_test(what_one_thread_frees_another_allocates),
        cmocka_unit_test(a_thread_that_ends_leaves_nothing_behind),
        cmocka_unit_test(loose_objects_are_used_before_fresh_memory),
        cmocka_unit_test(what_is_freed_after_the_flush_is_flushed_too),
        cmocka_unit_test(free_takes_null),
        cmocka_unit_test(two_slabs_of_one_class_are_a_broken_invariant),
        cmocka_unit_test(a_use_after_free_is_reported_where_poison_was_asked_for),
        cmocka_unit_test(no_object_has_two_owners_when_threads_trade),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
