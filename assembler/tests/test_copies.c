// SPDX-License-Identifier: GPL-2.0-only
/* The five copies on an image file: damaged in every way that leaves enough, and mended. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "blocks.h"
#include "copies.h"
#include "mend.h"

#define SECTORS 8192ULL /* of the spare: 7 table blocks */
#define MAIN	100000ULL
#define ALL	0x1f

static const uint8_t uuid_a[DMR_UUID_SIZE] = "set A..........";
static const uint8_t uuid_b[DMR_UUID_SIZE] = "set B..........";

/* An image with a set on it, and what was read from it last. */
struct spare {
	int fd;
	struct dmr_layout layout;
	uint32_t blocks;
	struct copies c;
};

static struct dmr_super new_super(const struct dmr_layout *l, const uint8_t *uuid)
{
	struct dmr_new n = {
		.uuid = uuid,
		.spare_uuid = uuid,
		.name = "home",
		.length = MAIN,
		.main_block = 512,
		.spare_block = 512,
		.generation = 1,
	};
	struct dmr_super s;

	dmr_super_init(&s, l, &n);
	return s;
}

static int start(void **state)
{
	struct spare *s = calloc(1, sizeof(*s));
	char path[] = "/tmp/test_copies.XXXXXX";
	struct dmr_super super;

	s->fd = mkstemp(path);
	unlink(path);
	assert_int_equal(ftruncate(s->fd, SECTORS * DMR_SECTOR_SIZE), 0);
	assert_int_equal(dmr_layout_init(&s->layout, SECTORS), DMR_OK);
	super = new_super(&s->layout, uuid_a);
	s->blocks = le32_to_cpu(super.table_blocks);
	assert_true(s->blocks > 3);
	assert_int_equal(mend_format(s->fd, &s->layout, &super), 0);
	*state = s;
	return 0;
}

static int end(void **state)
{
	struct spare *s = *state;

	copies_free(&s->c);
	close(s->fd);
	free(s);
	return 0;
}

static enum verdict look(struct spare *s)
{
	copies_free(&s->c);
	assert_int_equal(copies_read(&s->c, s->fd, SECTORS, NULL), 0);
	return s->c.verdict;
}

static void *place(struct spare *s, int copy, uint32_t index, void *block)
{
	assert_true(block_read(s->fd, dmr_block_sector(&s->layout, copy, index), block));
	return block;
}

static void put(struct spare *s, int copy, uint32_t index, const void *block)
{
	assert_true(block_write(s->fd, dmr_block_sector(&s->layout, copy, index), block));
}

static void ruin(struct spare *s, int copy, uint32_t index)
{
	char block[DMR_BLOCK_SIZE];

	place(s, copy, index, block);
	block[100 + copy * 7 + index] ^= 0x40;
	put(s, copy, index, block);
}

static void ruin_copy(struct spare *s, int copy)
{
	for (uint32_t index = 0; index <= s->blocks; index++)
		ruin(s, copy, index);
}

/* Commit one extent the way the target does, to the copies in @mask only; the superblock follows if @counted. */
static void commit(struct spare *s, uint32_t index, uint64_t main, uint64_t spare,
		   unsigned int mask, bool counted)
{
	struct dmr_super super;
	struct dmr_table t;
	uint64_t old, new;
	int k;

	assert_true(look(s) != VERDICT_LOST && s->c.elected >= 0);
	super = *copies_super(&s->c);
	new = s->c.tally.newest + 1;
	for (k = 0; !(s->c.current[index] & 1u << k); k++)
		;
	place(s, k, index, &t);
	old = le64_to_cpu(t.header.generation);
	assert_true(dmr_table_insert(&t, main, spare, 8, 0));
	t.header.previous = cpu_to_le64(old);
	t.header.generation = cpu_to_le64(new);
	dmr_seal(&t);
	super.digest = cpu_to_le64(le64_to_cpu(super.digest) - dmr_digest(index, old) +
				   dmr_digest(index, new));
	super.header.previous = super.header.generation;
	super.header.generation = cpu_to_le64(new);
	dmr_seal(&super);
	for (k = 0; k < DMR_COPIES; k++) {
		if (mask & 1u << k)
			put(s, k, index, &t);
		if (counted && mask & 1u << k)
			put(s, k, 0, &super);
	}
}

static uint64_t data_sector(struct spare *s)
{
	uint64_t start_of_data;

	assert_true(dmr_data_run(&s->layout, 0, (__u64 *)&start_of_data));
	return start_of_data;
}

/* Mend, and find everything level with the same extents. */
static void assert_mends(struct spare *s, size_t extents)
{
	struct mend_result r;
	uint64_t generation;

	assert_int_equal(look(s), VERDICT_REPAIRABLE);
	generation = s->c.tally.newest;
	assert_int_equal(mend_copies(&s->c, NULL, 1234, &r), 0);
	assert_int_equal(r.failed, 0);
	assert_int_equal(look(s), VERDICT_CLEAN);
	assert_int_equal(copies_valid(&s->c), 5);
	assert_int_equal(s->c.extents, extents);
	assert_int_equal(le64_to_cpu(copies_super(&s->c)->header.generation), generation + 2);
	assert_int_equal(le64_to_cpu(copies_super(&s->c)->repairs), 1);
	assert_int_equal(le64_to_cpu(copies_super(&s->c)->last_repair), 1234);
}

/* A spare that had taken over gets the one word that was missing, and is mended if it has to be. */
static void test_finish(void **state)
{
	struct spare *s = *state;
	struct dmr_super super = new_super(&s->layout, uuid_a);
	struct mend_result r;

	super.state = cpu_to_le32(DMR_STATE_INCOMING);
	dmr_seal(&super);
	for (int k = 0; k < DMR_COPIES; k++)
		put(s, k, 0, &super);
	assert_int_equal(look(s), VERDICT_CLEAN);
	assert_int_equal(mend_copies(&s->c, NULL, 1, &r), -EROFS);
	super.header.generation = cpu_to_le64(100);
	assert_int_equal(mend_copies(&s->c, &super, 1, &r), 0);
	assert_int_equal(look(s), VERDICT_CLEAN);
	assert_int_equal(copies_valid(&s->c), 5);
	assert_int_equal(copies_super(&s->c)->state, DMR_STATE_CLEAN);
	assert_true(le64_to_cpu(copies_super(&s->c)->header.generation) > 100);
	assert_int_equal(copies_super(&s->c)->repairs, 0);
}

static void test_new_set_is_clean(void **state)
{
	struct spare *s = *state;

	assert_int_equal(look(s), VERDICT_CLEAN);
	assert_int_equal(copies_valid(&s->c), 5);
	assert_int_equal(s->c.extents, 0);
	assert_memory_equal(s->c.uuid, uuid_a, sizeof(uuid_a));
}

static void test_every_choice_of_ruined_copies(void **state)
{
	for (unsigned int mask = 1; mask < ALL; mask++) {
		struct spare *s;

		end(state);
		start(state);
		s = *state;
		commit(s, 2, 16, data_sector(s), ALL, true);
		for (int k = 0; k < DMR_COPIES; k++) {
			if (mask & 1u << k)
				ruin_copy(s, k);
		}
		assert_mends(s, 1);
	}
}

static void test_no_copy_is_whole(void **state)
{
	struct spare *s = *state;

	commit(s, 1, 16, data_sector(s), ALL, true);
	/* block n survives in copy n % 5 only */
	for (int k = 0; k < DMR_COPIES; k++) {
		for (uint32_t index = 0; index <= s->blocks; index++) {
			if ((int)(index % DMR_COPIES) != k)
				ruin(s, k, index);
		}
	}
	assert_int_equal(look(s), VERDICT_REPAIRABLE);
	assert_int_equal(copies_valid(&s->c), 0);
	assert_mends(s, 1);
}

static void test_all_superblocks_ruined(void **state)
{
	struct spare *s = *state;

	for (int k = 0; k < DMR_COPIES; k++)
		ruin(s, k, 0);
	assert_int_equal(look(s), VERDICT_LOST);
	assert_int_equal(s->c.reason, DMR_BAD_CHECKSUM);
	assert_memory_equal(s->c.uuid, uuid_a, sizeof(uuid_a));
}

static void test_all_superblocks_zeroed(void **state)
{
	static const char zero[DMR_BLOCK_SIZE];
	struct spare *s = *state;

	for (int k = 0; k < DMR_COPIES; k++)
		put(s, k, 0, zero);
	assert_int_equal(look(s), VERDICT_LOST);
	assert_memory_equal(s->c.uuid, uuid_a, sizeof(uuid_a));
}

static void test_no_set_at_all(void **state)
{
	struct spare *s = *state;

	assert_int_equal(ftruncate(s->fd, 0), 0);
	assert_int_equal(ftruncate(s->fd, SECTORS * DMR_SECTOR_SIZE), 0);
	assert_int_equal(look(s), VERDICT_NONE);
	assert_int_equal(s->c.reason, DMR_EMPTY);
}

static void test_a_block_lost_everywhere(void **state)
{
	struct spare *s = *state;
	struct mend_result r;

	for (int k = 0; k < DMR_COPIES; k++)
		ruin(s, k, 3);
	assert_int_equal(look(s), VERDICT_LOST);
	assert_int_equal(s->c.reason, DMR_LOST);
	assert_int_equal(mend_copies(&s->c, NULL, 1, &r), -EROFS);
}

/* The only current instances are gone and older ones are left: not a smaller table, but damage. */
static void test_rollback_is_noticed(void **state)
{
	struct spare *s = *state;

	commit(s, 2, 16, data_sector(s), 0x07, true);
	for (int k = 0; k < 3; k++)
		ruin(s, k, 2);
	assert_int_equal(look(s), VERDICT_LOST);
	assert_int_equal(s->c.reason, DMR_LOST);
}

static void test_stale_copies_catch_up(void **state)
{
	struct spare *s = *state;

	commit(s, 2, 16, data_sector(s), 0x03, true);
	commit(s, 2, 64, data_sector(s) + 64, 0x03, true);
	assert_mends(s, 2);
}

/* Cut between table blocks and superblocks: what was durable is adopted. */
static void test_tail_is_adopted(void **state)
{
	struct spare *s = *state;

	commit(s, 2, 16, data_sector(s), 0x10, false);
	assert_int_equal(look(s), VERDICT_REPAIRABLE);
	assert_true(s->c.tally.tail);
	assert_mends(s, 1);
}

static void test_overlaps_are_lost(void **state)
{
	struct spare *s = *state;

	commit(s, 1, 16, data_sector(s), ALL, true);
	commit(s, 2, 20, data_sector(s) + 64, ALL, true);
	assert_int_equal(look(s), VERDICT_LOST);
	assert_int_equal(s->c.reason, DMR_OVERLAP_MAIN);
}

static void test_overlaps_on_spare_are_lost(void **state)
{
	struct spare *s = *state;

	commit(s, 1, 16, data_sector(s), ALL, true);
	commit(s, 2, 64, data_sector(s) + 4, ALL, true);
	assert_int_equal(look(s), VERDICT_LOST);
	assert_int_equal(s->c.reason, DMR_OVERLAP_SPARE);
}

/* The device ends early: what lies behind can't be read. */
static void test_unreadable_blocks_are_damage(void **state)
{
	struct spare *s = *state;
	uint64_t middle = dmr_block_sector(&s->layout, 4, 2);

	commit(s, 1, 16, data_sector(s), ALL, true);
	assert_int_equal(ftruncate(s->fd, middle * DMR_SECTOR_SIZE), 0);
	assert_int_equal(look(s), VERDICT_REPAIRABLE);
	assert_int_equal(s->c.fault[4], DMR_OK);
	assert_int_equal(s->c.bad_blocks[4], s->blocks - 1);
	assert_mends(s, 1);
}

/* One copy can't be written: the others are mended, and the superblock says so. */
static void test_a_copy_that_cannot_be_written(void **state)
{
	struct spare *s = *state;
	struct rlimit old, limit;
	struct mend_result r;

	ruin(s, 1, 3);
	ruin(s, 4, 3);
	assert_int_equal(look(s), VERDICT_REPAIRABLE);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = old;
	limit.rlim_cur = s->layout.copy_sector[4] * DMR_SECTOR_SIZE;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(mend_copies(&s->c, NULL, 1, &r), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(r.failed, 0x10);
	assert_int_equal(look(s), VERDICT_REPAIRABLE);
	assert_int_equal(copies_valid(&s->c), 4);
	assert_int_equal(le32_to_cpu(copies_super(&s->c)->failed_copies), 0x10);
	/* it works again */
	assert_int_equal(mend_copies(&s->c, NULL, 2, &r), 0);
	assert_int_equal(look(s), VERDICT_CLEAN);
	assert_int_equal(copies_super(&s->c)->failed_copies, 0);
}

/* No copy can be written: no superblock claims anything. */
static void test_nothing_can_be_written(void **state)
{
	struct spare *s = *state;
	struct rlimit old, limit;
	struct mend_result r;

	for (int k = 0; k < DMR_COPIES; k++)
		ruin(s, k, k % 2 ? 2 : 3);
	assert_int_equal(look(s), VERDICT_REPAIRABLE);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = old;
	limit.rlim_cur = DMR_BLOCK_SIZE;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(mend_copies(&s->c, NULL, 1, &r), -EIO);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(r.failed, ALL);
	assert_mends(s, 0);
}

/*
 * A commit that was cut short reached one superblock only, which could neither be read nor written when the
 * others were mended. Read again later, it must not pass for the same commit as theirs.
 */
static void test_a_superblock_that_comes_back(void **state)
{
	struct spare *s = *state;
	struct dmr_super lost;
	struct mend_result r;

	place(s, 0, 0, &lost);
	lost.header.previous = lost.header.generation;
	lost.header.generation = cpu_to_le64(le64_to_cpu(lost.header.generation) + 1);
	lost.scrubs = cpu_to_le64(77);
	dmr_seal(&lost);
	ruin(s, 0, 0);
	assert_int_equal(look(s), VERDICT_REPAIRABLE);
	assert_int_equal(mend_copies(&s->c, NULL, 1, &r), 0);
	put(s, 0, 0, &lost);
	assert_int_equal(look(s), VERDICT_REPAIRABLE);
	assert_int_equal(s->c.fault[0], DMR_STALE);
}

/* The next generation would be one that no reader accepts. */
static void test_generations_end(void **state)
{
	struct spare *s = *state;
	struct dmr_super super;
	struct mend_result r;

	for (int k = 0; k < DMR_COPIES; k++) {
		place(s, k, 0, &super);
		super.header.generation = cpu_to_le64((1ULL << 62) - 1);
		dmr_seal(&super);
		put(s, k, 0, &super);
	}
	ruin(s, 1, 1);
	assert_int_equal(look(s), VERDICT_REPAIRABLE);
	assert_int_equal(mend_copies(&s->c, NULL, 1, &r), -EOVERFLOW);
	assert_int_equal(look(s), VERDICT_REPAIRABLE);
}

static void test_mending_writes_nothing_that_was_good(void **state)
{
	struct spare *s = *state;
	struct dmr_table before[DMR_COPIES], after;
	struct mend_result r;

	ruin(s, 0, 1);
	for (int k = 0; k < DMR_COPIES; k++)
		place(s, k, 2, &before[k]);
	look(s);
	mend_plan(&s->c, &r);
	assert_int_equal(r.blocks, 1);
	assert_int_equal(mend_copies(&s->c, NULL, 1, &r), 0);
	assert_int_equal(r.blocks, 1);
	for (int k = 0; k < DMR_COPIES; k++)
		assert_memory_equal(place(s, k, 2, &after), &before[k], sizeof(after));
}

/* The spare was enlarged, or copied to a bigger disk. */
static void test_grown_spare(void **state)
{
	struct spare *s = *state;

	assert_int_equal(ftruncate(s->fd, SECTORS * 3 * DMR_SECTOR_SIZE), 0);
	copies_free(&s->c);
	assert_int_equal(copies_read(&s->c, s->fd, SECTORS * 3, NULL), 0);
	assert_int_equal(s->c.verdict, VERDICT_CLEAN);
	assert_int_equal(s->c.layout.sectors, SECTORS);
}

/* And then the power went while its first superblock was written, in which the others are found. */
static void test_grown_spare_with_a_torn_superblock(void **state)
{
	struct spare *s = *state;
	const char zeroes[DMR_BLOCK_SIZE - DMR_SECTOR_SIZE] = {0};

	assert_int_equal(ftruncate(s->fd, (SECTORS + 1000) * DMR_SECTOR_SIZE), 0);
	assert_int_equal(pwrite(s->fd, zeroes, sizeof(zeroes), DMR_SECTOR_SIZE), sizeof(zeroes));
	copies_free(&s->c);
	assert_int_equal(copies_read(&s->c, s->fd, SECTORS + 1000, NULL), 0);
	assert_int_equal(s->c.verdict, VERDICT_REPAIRABLE);
	assert_int_equal(s->c.layout.sectors, SECTORS);
}

static void test_cut_spare(void **state)
{
	struct spare *s = *state;

	assert_int_equal(copies_read(&s->c, s->fd, SECTORS - 8, NULL), 0);
	assert_int_equal(s->c.verdict, VERDICT_LOST);
	assert_int_equal(s->c.reason, DMR_TRUNCATED);
}

/* Nothing in it may pass for a superblock: udev asks for each. */
static void test_too_small_for_a_spare(void **state)
{
	struct spare *s = *state;

	assert_int_equal(copies_read_super(&s->c, s->fd, DMR_MIN_SECTORS - 1, NULL), 0);
	assert_int_equal(s->c.verdict, VERDICT_NONE);
	assert_int_equal(s->c.reason, DMR_TOO_SMALL);
	for (int k = 0; k < DMR_COPIES; k++)
		assert_int_equal(s->c.fault[k], DMR_TOO_SMALL);
}

static uint64_t bytes_read(void)
{
	FILE *io = fopen("/proc/self/io", "re");
	uint64_t bytes = 0;

	assert_non_null(io);
	assert_int_equal(fscanf(io, "rchar: %" SCNu64, &bytes), 1);
	fclose(io);
	return bytes;
}

/* Whoever writes files to a disk may put superblocks there: a look at it must not take hours. */
static void test_a_table_as_long_as_the_superblock_says(void **state)
{
	const uint64_t sectors = 1ULL << 31; /* 1 TiB */
	struct spare *s = *state;
	struct dmr_super super;
	uint64_t before;

	assert_int_equal(ftruncate(s->fd, sectors * DMR_SECTOR_SIZE), 0);
	assert_int_equal(dmr_layout_init(&s->layout, sectors), DMR_OK);
	super = new_super(&s->layout, uuid_a);
	super.table_blocks = cpu_to_le32(s->layout.table_capacity);
	dmr_seal(&super);
	for (int k = 0; k < DMR_COPIES; k++)
		put(s, k, 0, &super);
	before = bytes_read();
	assert_int_equal(copies_read(&s->c, s->fd, sectors, NULL), 0);
	assert_true(bytes_read() - before < 10 << 20);
	assert_int_equal(s->c.verdict, VERDICT_LOST);
	assert_int_equal(s->c.reason, DMR_LOST);
}

/* A foreign superblock in one place: the set with most of them stands. */
static void test_a_foreign_superblock(void **state)
{
	struct spare *s = *state;
	struct dmr_super other = new_super(&s->layout, uuid_b);

	put(s, 3, 0, &other);
	assert_int_equal(look(s), VERDICT_REPAIRABLE);
	assert_int_equal(s->c.fault[3], DMR_BAD_UUID);
	assert_mends(s, 0);
}

/* A newer format in one place: hands off. */
static void test_newer_format(void **state)
{
	struct spare *s = *state;
	struct dmr_super super;
	struct mend_result r;

	place(s, 2, 0, &super);
	super.incompat = cpu_to_le32(1u << 31);
	dmr_seal(&super);
	put(s, 2, 0, &super);
	assert_int_equal(look(s), VERDICT_LOST);
	assert_int_equal(s->c.reason, DMR_BAD_FEATURE);
	assert_int_equal(mend_copies(&s->c, NULL, 1, &r), -EROFS);
}

static void test_read_only_features(void **state)
{
	struct spare *s = *state;
	struct dmr_super super;
	struct mend_result r;

	for (int k = 0; k < DMR_COPIES; k++) {
		place(s, k, 0, &super);
		super.ro_compat = cpu_to_le32(1u << 31);
		dmr_seal(&super);
		put(s, k, 0, &super);
	}
	assert_int_equal(look(s), VERDICT_CLEAN);
	ruin(s, 1, 1);
	assert_int_equal(look(s), VERDICT_REPAIRABLE);
	assert_int_equal(mend_copies(&s->c, NULL, 1, &r), -EROFS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)
	const struct CMUnitTest tests[] = {
		TEST(test_new_set_is_clean),
		TEST(test_finish),
		TEST(test_every_choice_of_ruined_copies),
		TEST(test_no_copy_is_whole),
		TEST(test_all_superblocks_ruined),
		TEST(test_all_superblocks_zeroed),
		TEST(test_no_set_at_all),
		TEST(test_a_block_lost_everywhere),
		TEST(test_rollback_is_noticed),
		TEST(test_stale_copies_catch_up),
		TEST(test_tail_is_adopted),
		TEST(test_overlaps_are_lost),
		TEST(test_overlaps_on_spare_are_lost),
		TEST(test_unreadable_blocks_are_damage),
		TEST(test_a_copy_that_cannot_be_written),
		TEST(test_nothing_can_be_written),
		TEST(test_a_superblock_that_comes_back),
		TEST(test_generations_end),
		TEST(test_mending_writes_nothing_that_was_good),
		TEST(test_grown_spare),
		TEST(test_grown_spare_with_a_torn_superblock),
		TEST(test_cut_spare),
		TEST(test_too_small_for_a_spare),
		TEST(test_a_table_as_long_as_the_superblock_says),
		TEST(test_a_foreign_superblock),
		TEST(test_newer_format),
		TEST(test_read_only_features),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
