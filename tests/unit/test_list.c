#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"

struct item {
    int number;
    struct lido__node node;
    struct lido__link link;
};

static int number_of(struct lido__node *node)
{
    return lido__container_of(node, struct item, node)->number;
}

static void fill(struct lido__node *head, struct item *items, int first, int count)
{
    lido__list_init(head);
    for (int i = 0; i < count; i++) {
        items[i].number = first + i;
        lido__list_push(head, &items[i].node);
    }
}

/* Walks both ways, so that a broken prev is seen too. */
static void assert_numbers(struct lido__node *head, const int *numbers, int count)
{
    struct lido__node *node = head->next;
    for (int i = 0; i < count; i++, node = node->next)
        assert_int_equal(number_of(node), numbers[i]);
    assert_ptr_equal(node, head);
    node = head->prev;
    for (int i = count; i-- > 0; node = node->prev)
        assert_int_equal(number_of(node), numbers[i]);
    assert_ptr_equal(node, head);
}

static void list_keeps_the_order_of_pushes(void **state)
{
    (void)state;
    struct lido__node head;
    struct item items[3];
    fill(&head, items, 1, 3);
    assert_false(lido__list_empty(&head));
    assert_numbers(&head, (int[]){1, 2, 3}, 3);
}

static void list_removes_first_middle_and_last(void **state)
{
    (void)state;
    struct lido__node head;
    struct item items[5];
    fill(&head, items, 1, 5);
    lido__list_remove(&items[2].node);
    assert_numbers(&head, (int[]){1, 2, 4, 5}, 4);
    lido__list_remove(&items[0].node);
    assert_numbers(&head, (int[]){2, 4, 5}, 3);
    lido__list_remove(&items[4].node);
    assert_numbers(&head, (int[]){2, 4}, 2);
    lido__list_remove(&items[1].node);
    lido__list_remove(&items[3].node);
    assert_true(lido__list_empty(&head));
}

static void splice_appends_in_order_and_empties_its_source(void **state)
{
    (void)state;
    struct lido__node to, from;
    struct item first[2], second[3];
    fill(&to, first, 1, 2);
    fill(&from, second, 3, 3);
    lido__list_splice(&to, &from);
    assert_numbers(&to, (int[]){1, 2, 3, 4, 5}, 5);
    assert_true(lido__list_empty(&from));
}

static void splice_of_nothing_changes_nothing(void **state)
{
    (void)state;
    struct lido__node to, from;
    struct item items[2];
    fill(&to, items, 1, 2);
    lido__list_init(&from);
    lido__list_splice(&to, &from);
    assert_numbers(&to, (int[]){1, 2}, 2);
    lido__list_splice(&from, &to);
    assert_numbers(&from, (int[]){1, 2}, 2);
}

static void fifo_pops_in_the_order_of_pushes(void **state)
{
    (void)state;
    struct lido__fifo fifo;
    struct item items[3];
    lido__fifo_init(&fifo);
    assert_true(lido__fifo_empty(&fifo));
    for (int i = 0; i < 3; i++)
        lido__fifo_push(&fifo, &items[i].link);
    for (int i = 0; i < 3; i++)
        assert_ptr_equal(lido__fifo_pop(&fifo), &items[i].link);
    assert_true(lido__fifo_empty(&fifo));
    assert_null(lido__fifo_pop(&fifo));
}

/* The tail must not go on pointing into the last link that was popped. */
static void fifo_that_was_emptied_can_be_filled_again(void **state)
{
    (void)state;
    struct lido__fifo fifo;
    struct item items[2];
    lido__fifo_init(&fifo);
    lido__fifo_push(&fifo, &items[0].link);
    assert_ptr_equal(lido__fifo_pop(&fifo), &items[0].link);
    lido__fifo_push(&fifo, &items[1].link);
    assert_ptr_equal(lido__fifo_pop(&fifo), &items[1].link);
    assert_null(lido__fifo_pop(&fifo));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_keeps_the_order_of_pushes),
        cmocka_unit_test(list_removes_first_middle_and_last),
        cmocka_unit_test(splice_appends_in_order_and_empties_its_source),
        cmocka_unit_test(splice_of_nothing_changes_nothing),
        cmocka_unit_test(fifo_pops_in_the_order_of_pushes),
        cmocka_unit_test(fifo_that_was_emptied_can_be_filled_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
