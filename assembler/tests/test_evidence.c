// SPDX-License-Identifier: GPL-2.0-only
/* How far a device is the one that was recorded: a row for each way in which it may differ. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "evidence.h"

/* Rows say what matters and leave the rest 0. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Short names for what a device tells. */
#define WWID(x)     .wwid = (x)
#define SERIAL(x)   .serial = (x)
#define PARTUUID(x) .partuuid = (x)
#define PTUUID(x)   .ptuuid = (x)
#define FSUUID(x)   .fsuuid = (x)

static void test_confidence(void **state)
{
	static const struct {
		const char *what;
		struct dmr_identity recorded;
		struct device found;
		int least, most;
	} rows[] = {
		{"same disk, all ids",
		 {.sectors = 100, WWID("w"), SERIAL("s"), FSUUID("f")},
		 {.sectors = 100, WWID("w"), SERIAL("s"), FSUUID("f")},
		 100,
		 100},
		{"same disk by its wwid only",
		 {.sectors = 100, WWID("w")},
		 {.sectors = 100, WWID("w")},
		 100,
		 100},
		{"same disk by its serial only",
		 {.sectors = 100, SERIAL("s")},
		 {.sectors = 100, SERIAL("s")},
		 100,
		 100},
		{"same disk, new file system",
		 {.sectors = 100, WWID("w"), FSUUID("f")},
		 {.sectors = 100, WWID("w"), FSUUID("g")},
		 90,
		 100},
		{"same disk, new partition table",
		 {.sectors = 100, WWID("w"), PTUUID("t")},
		 {.sectors = 100, WWID("w"), PTUUID("u")},
		 90,
		 100},
		{"virtio partition",
		 {.sectors = 100, .part_number = 1, PARTUUID("p"), PTUUID("t")},
		 {.sectors = 100, .part_number = 1, PARTUUID("p"), PTUUID("t")},
		 90,
		 100},
		{"PARTUUID and size only",
		 {.sectors = 100, PARTUUID("p")},
		 {.sectors = 100, PARTUUID("p")},
		 90,
		 100},
		{"renumbered partition",
		 {.sectors = 100, .part_number = 1, WWID("w"), PARTUUID("p"), PTUUID("t")},
		 {.sectors = 100, .part_number = 2, WWID("w"), PARTUUID("p"), PTUUID("t")},
		 90,
		 100},
		{"clone on another disk",
		 {.sectors = 100,
		  .part_number = 1,
		  WWID("w"),
		  PARTUUID("p"),
		  PTUUID("t"),
		  FSUUID("f")},
		 {.sectors = 100,
		  .part_number = 1,
		  WWID("x"),
		  PARTUUID("p"),
		  PTUUID("t"),
		  FSUUID("f")},
		 1,
		 89},
		{"neighbour on the same disk",
		 {.sectors = 100, .part_number = 1, WWID("w"), PARTUUID("p"), PTUUID("t")},
		 {.sectors = 100, .part_number = 2, WWID("w"), PARTUUID("q"), PTUUID("t")},
		 0,
		 60},
		{"whole disk instead of its partition",
		 {.sectors = 100, .part_number = 1, WWID("w"), PARTUUID("p"), PTUUID("t")},
		 {.sectors = 500, WWID("w"), PTUUID("t")},
		 0,
		 60},
		{"file system and size only",
		 {.sectors = 100, FSUUID("f")},
		 {.sectors = 100, FSUUID("f")},
		 60,
		 80},
		{"file system on something larger",
		 {.sectors = 100, FSUUID("f")},
		 {.sectors = 200, FSUUID("f")},
		 60,
		 80},
		{"size only", {.sectors = 100}, {.sectors = 100}, 0, 30},
		{"too small", {.sectors = 100, WWID("w")}, {.sectors = 99, WWID("w")}, 0, 0},
		{"nothing in common",
		 {.sectors = 100, WWID("w"), FSUUID("f")},
		 {.sectors = 100, WWID("x"), FSUUID("g")},
		 0,
		 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct evidence e;

		evidence_compare(&rows[i].recorded, 100, &rows[i].found, &e);
		if (e.confidence < rows[i].least || e.confidence > rows[i].most)
			fail_msg("%s: %d", rows[i].what, e.confidence);
		assert_int_equal(e.possible, rows[i].found.sectors >= 100);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_confidence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
