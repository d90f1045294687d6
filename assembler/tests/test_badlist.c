// SPDX-License-Identifier: GPL-2.0-only
/* Lists of bad sectors: what badblocks and ddrescue write is understood, and nothing else. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "active.h"
#include "badlist.h"

static const struct badlist_options plain = {BADLIST_BLOCK_BYTES, BADLIST_BAD};

static int parse(struct badlist *l, const char *list, const struct badlist_options *o)
{
	char text[1024];

	snprintf(text, sizeof(text), "%s", list);
	return badlist_parse(l, text, strlen(text), o);
}

/* "start+sectors start+sectors ..." */
static const char *describe(const struct ranges *r)
{
	static char text[512];
	size_t n = 0;

	*text = '\0';
	for (size_t i = 0; i < r->count; i++)
		n += snprintf(text + n, sizeof(text) - n, "%s%ju+%ju", i ? " " : "",
			      (uintmax_t)r->range[i].start, (uintmax_t)r->range[i].sectors);
	return text;
}

static void assert_list(const char *list, const struct badlist_options *o, enum badlist_kind kind,
			const char *ranges, uint64_t end)
{
	struct badlist l;

	assert_int_equal(parse(&l, list, o), 0);
	assert_int_equal(l.kind, kind);
	assert_string_equal(describe(&l.bad), ranges);
	assert_int_equal(l.end, end);
	badlist_free(&l);
}

static void assert_refused(const char *list, const char *about)
{
	struct badlist l;

	assert_int_equal(parse(&l, list, &plain), -EINVAL);
	if (!strstr(l.error, about))
		fail_msg("'%s' is refused with: %s", list, l.error);
	badlist_free(&l);
}

static void test_empty(void **state)
{
	(void)state;
	assert_list("", &plain, BADLIST_EMPTY, "", 0);
	assert_list("\n \n# all is well\n", &plain, BADLIST_EMPTY, "", 0);
}

static void test_badblocks(void **state)
{
	static const struct badlist_options small = {512, "-"}, big = {4096, "-"};

	(void)state;
	assert_list("3\n", &plain, BADLIST_BLOCKS, "6+2", 8);
	assert_list("3\n4\n9", &plain, BADLIST_BLOCKS, "6+4 18+2", 20);
	assert_list("9\n3\n4\n3\n", &plain, BADLIST_BLOCKS, "6+4 18+2", 20);
	assert_list("0\r\n 3 \r\n", &plain, BADLIST_BLOCKS, "0+2 6+2", 8);
	assert_list("3\n5\n", &small, BADLIST_BLOCKS, "3+1 5+1", 6);
	assert_list("3\n", &big, BADLIST_BLOCKS, "24+8", 32);
	assert_list("010\n", &plain, BADLIST_BLOCKS, "20+2", 22);
}

/* The example in ddrescue's manual. */
static const char map[] = "# Mapfile. Created by GNU ddrescue version 1.27\n"
			  "# Command line: ddrescue -d /dev/fd0 fdimage mapfile\n"
			  "# Start time:   2015-07-21 09:37:44\n"
			  "# Copying non-tried blocks... Pass 1 (forwards)\n"
			  "# current_pos  current_status  current_pass\n"
			  "0x00120000     ?               1\n"
			  "#      pos        size  status\n"
			  "0x00000000  0x00117000  +\n"
			  "0x00117000  0x00000200  -\n"
			  "0x00117200  0x00001000  /\n"
			  "0x00118200  0x00007E00  *\n"
			  "0x00120000  0x00048000  ?\n";

static void test_map(void **state)
{
	static const struct badlist_options failed = {BADLIST_BLOCK_BYTES, "-/*"};

	(void)state;
	assert_list(map, &plain, BADLIST_MAP, "2232+1", 0x120000 / 512);
	assert_list(map, &failed, BADLIST_MAP, "2232+72", 0x120000 / 512);
	assert_list("0 +\n", &plain, BADLIST_MAP, "", 0);
	assert_list("512 - 2 # position 512\n0 1536 - # 1536 B\n", &plain, BADLIST_MAP, "0+3", 3);
}

static void test_map_is_rounded_outwards(void **state)
{
	(void)state;
	assert_list("0 +\n0 1000 +\n1000 100 -\n1100 8 +\n", &plain, BADLIST_MAP, "1+2", 3);
	assert_list("0 +\n511 1 -\n512 0 -\n", &plain, BADLIST_MAP, "0+1", 1);
}

static void test_a_map_of_unknown_size_proves_nothing(void **state)
{
	static const struct badlist_options untried = {BADLIST_BLOCK_BYTES, "?"};

	(void)state;
	assert_list("0 ? 1\n0x0 0x200 -\n0x200 0x7FFFFFFFFFFFFDFF ?\n", &plain, BADLIST_MAP, "0+1",
		    1);
	assert_list("0 ? 1\n0x0 0x7FFFFFFFFFFFFFFF ?\n", &untried, BADLIST_MAP,
		    "0+18014398509481984", RANGES_END);
}

static void test_what_is_no_list(void **state)
{
	(void)state;
	assert_refused("bad blocks: none\n", "line 1 is neither");
	assert_refused("-1\n", "line 1 is neither");
	assert_refused("0x10\n", "line 1 is neither");
	assert_refused("99999999999999999999999\n", "line 1 is neither");
	assert_refused("# comment\n0x0 0x200 -\n", "line 2 is neither");
	assert_refused("1\n2\nthree\n", "line 3");
	assert_refused("1\n2 3\n", "line 2");
	assert_refused("18014398509481983\n", "no device reaches");
	assert_refused("0 ? 1\n0 512\n", "line 2");
	assert_refused("0 ? 1\n0 512 x\n", "line 2");
	assert_refused("0 ? 1\n0 512 +-\n", "line 2");
	assert_refused("0 ? 1\n0 512 + 1\n", "line 2");
	assert_refused("0 ? 1\n0 -512 +\n", "line 2");
	assert_refused("0 ? 1\n0 1024 +\n512 512 -\n", "line 3 has an area that overlaps");
	assert_refused("0 ? 1\n1024 0x7fffffffffffffff -\n", "no device reaches");
	assert_refused("0 ? 1\n08 512 -\n", "line 2");
}

static void test_not_text(void **state)
{
	char text[] = "1\n\0002\n";
	struct badlist l;

	(void)state;
	assert_int_equal(badlist_parse(&l, text, sizeof(text) - 1, &plain), -EINVAL);
	assert_non_null(strstr(l.error, "text"));
	badlist_free(&l);
}

static void test_round(void **state)
{
	struct ranges r = {0};

	(void)state;
	assert_int_equal(ranges_add(&r, 7, 1) | ranges_add(&r, 9, 1) | ranges_add(&r, 30, 4), 0);
	ranges_round(&r, 8);
	assert_string_equal(describe(&r), "0+16 24+16");
	assert_int_equal(ranges_sectors(&r), 32);
	assert_int_equal(ranges_end(&r), 40);
	ranges_round(&r, 1);
	assert_string_equal(describe(&r), "0+16 24+16");
	ranges_free(&r);
}

/* Against one bit per sector: all pairs of sets among eight sectors. */
static void add_bits(struct ranges *r, unsigned int bits)
{
	for (unsigned int i = 0; i < 8; i++) {
		if (bits >> i & 1)
			assert_int_equal(ranges_add(r, i, 1), 0);
	}
}

static void test_without(void **state)
{
	(void)state;
	for (unsigned int bits = 0; bits < 1 << 16; bits++) {
		struct ranges a = {0}, b = {0}, rest = {0}, expected = {0};

		add_bits(&a, bits & 0xff);
		add_bits(&b, bits >> 8);
		add_bits(&expected, bits & 0xff & ~(bits >> 8));
		assert_int_equal(ranges_without(&a, &b, &rest), 0);
		assert_int_equal(rest.count, expected.count);
		for (size_t i = 0; i < rest.count; i++)
			assert_memory_equal(&rest.range[i], &expected.range[i],
					    sizeof(*rest.range));
		ranges_free(&a);
		ranges_free(&b);
		ranges_free(&rest);
		ranges_free(&expected);
	}
}

static void assert_pending(const char *answer, bool understood, const char *ranges)
{
	struct ranges r = {0};

	assert_int_equal(active_parse_pending(answer, &r), understood);
	if (understood)
		assert_string_equal(describe(&r), ranges);
	ranges_free(&r);
}

static void test_pending(void **state)
{
	(void)state;
	assert_pending("", true, "");
	assert_pending("4096 8\n", true, "4096+8");
	assert_pending("4096 8\n8 8\n16 8", true, "8+16 4096+8");
	assert_pending("4096\n", false, NULL);
	assert_pending("none\n", false, NULL);
	assert_pending("18446744073709551615 8\n", false, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_badblocks),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_map_is_rounded_outwards),
		cmocka_unit_test(test_a_map_of_unknown_size_proves_nothing),
		cmocka_unit_test(test_what_is_no_list),
		cmocka_unit_test(test_not_text),
		cmocka_unit_test(test_round),
		cmocka_unit_test(test_without),
		cmocka_unit_test(test_pending),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
