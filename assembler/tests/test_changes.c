// SPDX-License-Identifier: GPL-2.0-only
/* What somebody who watches a set is told, and that nothing is told twice. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "changes.h"

static const struct view well = {
	.status = {.mode = "rw",
		   .health = "ok",
		   .valid_copies = 5,
		   .spare_sectors = 100,
		   .repairs = 3},
	.spare = "/dev/sdb",
};

/* The events between two looks, as one string. */
static const char *events(const struct view *before, const struct view *after)
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
	struct view now = well;

	(void)state;
	assert_string_equal(events(&well, &well), "");
	/* what it has done before anybody looked is no news, and neither is a scrub */
	assert_string_equal(events(NULL, &well), "");
	now.status.scrubs = 7;
	now.status.generation = 9;
	assert_string_equal(events(&well, &now), "");
}

static void test_everything_at_once(void **state)
{
	struct view now = {.status = {.mode = "failed",
				      .health = "failing",
				      .valid_copies = 1,
				      .remapped_sectors = 8,
				      .pending_sectors = 2,
				      .unreadable_sectors = 1,
				      .repairs = 4}};

	(void)state;
	assert_string_equal(events(&well, &now),
			    "mode health copies repair moved pending unreadable ");
	assert_string_equal(events(NULL, &now), "mode health copies pending unreadable ");
	assert_string_equal(events(&now, &now), "");
}

static void test_what_gets_better(void **state)
{
	struct view before = well;

	(void)state;
	strcpy(before.status.health, "degraded");
	before.status.valid_copies = 4;
	before.status.pending_sectors = 1;
	assert_string_equal(events(&before, &well), "health copies pending ");
}

static void test_another_spare(void **state)
{
	struct view moving = well, moved = well, refused = well;

	(void)state;
	strcpy(moving.incoming, "/dev/sdc");
	strcpy(moved.spare, "/dev/sdc");
	strcpy(refused.refused, "/dev/sdc");
	refused.refusal = -EIO;
	assert_string_equal(events(&well, &moving), "migration ");
	assert_string_equal(events(&moving, &moving), "");
	assert_string_equal(events(&moving, &moved), "spare ");
	assert_string_equal(events(&moving, &refused), "migration ");
	/* also if it began and ended between two looks */
	assert_string_equal(events(&well, &moved), "spare ");
	assert_string_equal(events(&well, &refused), "migration ");
	assert_string_equal(events(&refused, &refused), "");
	/* a move that failed long ago is no news; nor is a spare that was pulled out another one */
	assert_string_equal(events(NULL, &refused), "");
	moved.spare[0] = '\0';
	assert_string_equal(events(&well, &moved), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_new),
		cmocka_unit_test(test_everything_at_once),
		cmocka_unit_test(test_what_gets_better),
		cmocka_unit_test(test_another_spare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
