// SPDX-License-Identifier: GPL-2.0-only
/* What somebody who watches a set is told, and that nothing is told twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "changes.h"

static const struct active_status well = {
	.mode = "rw", .health = "ok", .valid_copies = 5, .spare_sectors = 100, .repairs = 3};

/* The events between two looks, as one string. */
static const char *events(const struct active_status *before, const struct active_status *after)
{
	struct change changes[CHANGES_MAX];
	size_t count = changes_find(before, after, changes);
	static char text[128];

	text[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		assert_true(strlen(changes[i].sentence) > 0);
		strcat(text, changes[i].event);
		strcat(text, " ");
	}
	return text;
}

static void test_nothing_new(void **state)
{
	(void)state;
	assert_string_equal(events(&well, &well), "");
	/* what it has done before anybody looked is no news, and neither is a scrub */
	assert_string_equal(events(NULL, &well), "");
	assert_string_equal(events(&well, &(struct active_status){.mode = "rw",
								  .health = "ok",
								  .valid_copies = 5,
								  .repairs = 3,
								  .scrubs = 7,
								  .generation = 9}),
			    "");
}

static void test_everything_at_once(void **state)
{
	struct active_status now = {.mode = "failed",
				    .health = "failing",
				    .valid_copies = 1,
				    .remapped_sectors = 8,
				    .pending_sectors = 2,
				    .unreadable_sectors = 1,
				    .repairs = 4};

	(void)state;
	assert_string_equal(events(&well, &now),
			    "mode health copies repair moved pending unreadable ");
	assert_string_equal(events(NULL, &now), "mode health copies pending unreadable ");
	assert_string_equal(events(&now, &now), "");
}

static void test_what_gets_better(void **state)
{
	struct active_status before = well;

	(void)state;
	strcpy(before.health, "degraded");
	before.valid_copies = 4;
	before.pending_sectors = 1;
	assert_string_equal(events(&before, &well), "health copies pending ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_new),
		cmocka_unit_test(test_everything_at_once),
		cmocka_unit_test(test_what_gets_better),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
