// SPDX-License-Identifier: GPL-2.0-only
/* Workers: every item is worked on, and one that hangs holds up nobody. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "workers.h"

#define ITEMS 1000

static bool in_front_of_the_others(size_t item)
{
	return item < 20;
}

static void square(size_t item, void *result, const void *context)
{
	*(size_t *)result = item * item + *(const size_t *)context;
}

static void square_or_hang(size_t item, void *result, const void *context)
{
	while (in_front_of_the_others(item))
		pause();
	square(item, result, context);
}

static void test_all_are_done(void **state)
{
	const size_t more = 7;
	struct workers *w = workers_start(ITEMS, sizeof(size_t), square, &more);

	(void)state;
	assert_non_null(w);
	assert_int_equal(workers_wait(w, 60), 0);
	for (size_t i = 0; i < ITEMS; i++)
		assert_int_equal(*(size_t *)workers_result(w, i), i * i + more);
	workers_end(w);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* More of them than there are workers at first. */
static void test_those_that_hang_hold_up_nobody(void **state)
{
	const size_t none = 0;
	struct workers *w = workers_start(ITEMS, sizeof(size_t), square_or_hang, &none);

	(void)state;
	assert_non_null(w);
	assert_int_equal(workers_wait(w, 2), 20);
	for (size_t i = 0; i < ITEMS; i++) {
		size_t *result = workers_result(w, i);

		assert_true(!result == in_front_of_the_others(i));
		if (result)
			assert_int_equal(*result, i * i);
	}
	workers_end(w);
}

/* Each is one that takes longer than anybody is waited for, but is heard of all the time. */
static void take_long(size_t item, void *result, const void *context)
{
	for (int i = 0; i < 30; i++) {
		usleep(100 * 1000);
		workers_alive();
	}
	square(item, result, context);
}

static void test_those_that_are_heard_of_are_waited_for(void **state)
{
	const size_t none = 0;
	struct workers *w = workers_start(3, sizeof(size_t), take_long, &none);

	(void)state;
	assert_non_null(w);
	assert_int_equal(workers_wait(w, 2), 0);
	workers_end(w);
}

static void test_no_items(void **state)
{
	struct workers *w = workers_start(0, 8, square, NULL);

	(void)state;
	assert_non_null(w);
	assert_int_equal(workers_wait(w, 60), 0);
	workers_end(w);
}

static void write_where_the_caller_reads(size_t item, void *result, const void *context)
{
	const int *fd = context;

	(void)item;
	*(bool *)result = write(1, "x", 1) == 1 && write(*fd, "x", 1) < 0;
}

/* A worker that hangs must not keep a pipe open that somebody reads to its end. */
static void test_workers_let_go(void **state)
{
	struct workers *w;
	char byte;
	int ends[2];

	(void)state;
	assert_return_code(pipe(ends), 0);
	w = workers_start(1, sizeof(bool), write_where_the_caller_reads, &ends[1]);
	assert_non_null(w);
	assert_int_equal(workers_wait(w, 60), 0);
	assert_true(*(bool *)workers_result(w, 0));
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 0);
	close(ends[0]);
	workers_end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_are_done),
		cmocka_unit_test(test_those_that_hang_hold_up_nobody),
		cmocka_unit_test(test_those_that_are_heard_of_are_waited_for),
		cmocka_unit_test(test_no_items),
		cmocka_unit_test(test_workers_let_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
