// SPDX-License-Identifier: GPL-2.0-only
/*
 * Order is everything here. Table blocks go first and are stable before any superblock counts them. Only
 * instances that lost the vote are overwritten, in one copy, another, and when two are whole, superblock and
 * all, the others: they may be the only whole copies of the version before, where a commit was cut short. So a
 * crash while mending leaves damage, to be mended again. At last superblocks change in every copy (generation,
 * digest, the record of the repair), therefore in two waves with a flush between them: the first covers what
 * could not be mended and at most half of the others, the second the rest, once the first has been read back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "blocks.h"
#include "mend.h"

#define WAVE_BLOCKS 256 /* table blocks per copy between two flushes */

/*
 * One generation is skipped, as the target does when it loads: a commit that was cut short may have
 * left a superblock of the next one where it cannot be read today.
 */
#define GENERATION_STEP 2

void mend_plan(const struct copies *c, struct mend_result *r)
{
	memset(r, 0, sizeof(*r));
	for (int k = 0; k < DMR_COPIES; k++)
		r->blocks += c->bad_blocks[k] - (c->fault[k] != DMR_OK);
	r->supers = DMR_COPIES;
}

/* Write the same superblock to the copies in @mask, make it stable, read it back. Returns the copies where it holds. */
static unsigned int write_supers(int fd, const struct dmr_layout *l, const struct dmr_super *s,
				 unsigned int mask)
{
	struct dmr_super *back = blocks_alloc(1);
	unsigned int written = 0, held = 0;

	if (!back)
		return 0;
	for (int k = 0; k < DMR_COPIES; k++) {
		if (mask & 1u << k && block_write(fd, dmr_block_sector(l, k, 0), s))
			written |= 1u << k;
	}
	if (blocks_flush(fd)) {
		for (int k = 0; k < DMR_COPIES; k++) {
			if (written & 1u << k && block_read(fd, dmr_block_sector(l, k, 0), back) &&
			    !memcmp(back, s, sizeof(*s)))
				held |= 1u << k;
		}
	}
	free(back);
	return held;
}

/* Read the winner of block @index from one of the copies that hold it. */
static bool read_winner(const struct copies *c, uint32_t index, struct dmr_table *t)
{
	for (int k = 0; k < DMR_COPIES; k++) {
		if (c->current[index] & 1u << k &&
		    block_read(c->fd, dmr_block_sector(&c->layout, k, index), t) &&
		    dmr_table_check(t, copies_super(c), index) == DMR_OK)
			return true;
	}
	return false;
}

/*
 * Copies whose instance of block @index has to be written, out of those still @wanted. The winner
 * goes to @winner; if it cannot be read they are added to @failed, and none is returned.
 */
static unsigned int losers(const struct copies *c, uint32_t index, unsigned int wanted,
			   struct dmr_table *winner, unsigned int *failed)
{
	unsigned int mask = ~c->current[index] & wanted;

	if (!mask || read_winner(c, index, winner))
		return mask;
	*failed |= mask;
	return 0;
}

/* Write the winners of blocks @first to @last wherever they are missing. Returns the copies where that failed. */
static unsigned int write_tables(struct copies *c, uint32_t first, uint32_t last,
				 struct dmr_table *winner, unsigned int wanted, uint32_t *count)
{
	unsigned int failed = 0;

	for (uint32_t index = first; index <= last; index++) {
		unsigned int mask = losers(c, index, wanted, winner, &failed);

		for (int k = 0; k < DMR_COPIES; k++) {
			if (!(mask & 1u << k))
				continue;
			if (block_write(c->fd, dmr_block_sector(&c->layout, k, index), winner))
				++*count;
			else
				failed |= 1u << k;
		}
	}
	return failed;
}

/* Compare what write_tables() wrote with the winners. Returns the copies that differ. */
static unsigned int verify_tables(struct copies *c, uint32_t first, uint32_t last,
				  struct dmr_table *winner, struct dmr_table *back,
				  unsigned int wanted)
{
	unsigned int failed = 0;

	for (uint32_t index = first; index <= last; index++) {
		unsigned int mask = losers(c, index, wanted, winner, &failed);

		for (int k = 0; k < DMR_COPIES; k++) {
			if (mask & 1u << k &&
			    (!block_read(c->fd, dmr_block_sector(&c->layout, k, index), back) ||
			     memcmp(back, winner, sizeof(*back))))
				failed |= 1u << k;
		}
	}
	return failed;
}

/*
 * Bring the tables of @copies level. One that fails once is left alone from there on. Returns those
 * that failed; DMR_ALL_COPIES if nothing is known to be stable.
 */
static unsigned int level_tables(struct copies *c, unsigned int copies, uint32_t *count)
{
	struct dmr_table *buffer = blocks_alloc(2);
	uint32_t blocks = copies_table_blocks(c);
	unsigned int failed = 0;

	if (!buffer)
		return DMR_ALL_COPIES;
	for (uint32_t first = 1; first <= blocks; first += WAVE_BLOCKS) {
		uint32_t last = blocks - first < WAVE_BLOCKS ? blocks : first + WAVE_BLOCKS - 1;
		unsigned int wanted = copies & ~failed;
		uint32_t before = *count;

		failed |= write_tables(c, first, last, buffer, wanted, count);
		if (*count == before)
			continue;
		if (!blocks_flush(c->fd)) {
			failed = DMR_ALL_COPIES;
			break;
		}
		failed |= verify_tables(c, first, last, buffer, buffer + 1, wanted);
	}
	free(buffer);
	return failed;
}

/* The elected superblock, as it is, over those of @copies that are not it. Returns those that failed. */
static unsigned int level_supers(const struct copies *c, unsigned int copies)
{
	unsigned int bad = 0;

	for (int k = 0; k < DMR_COPIES; k++) {
		if (copies & 1u << k && c->fault[k] != DMR_OK)
			bad |= 1u << k;
	}
	return bad ? bad & ~write_supers(c->fd, &c->layout, copies_super(c), bad) : 0;
}

/* Copies in the order of dmr_mend_next(). Returns as above. */
static unsigned int mend_in_turn(struct copies *c, uint32_t *count)
{
	unsigned int left = DMR_ALL_COPIES, failed = 0, next;

	for (; left && failed != DMR_ALL_COPIES; left &= ~next) {
		unsigned int whole = ~(left | failed) & DMR_ALL_COPIES;

		next = dmr_mend_next(left, whole);
		failed |= level_tables(c, next, count);
		if (failed != DMR_ALL_COPIES)
			failed |= level_supers(c, next & ~failed);
	}
	return failed;
}

/* The first wave: the copies in @failed and at most half of the others. */
static unsigned int first_wave(unsigned int failed)
{
	unsigned int good = DMR_COPIES - __builtin_popcount(failed), mask = failed;

	for (unsigned int k = 0, taken = 0; k < DMR_COPIES && taken < good / 2; k++) {
		taken += !(failed & 1u << k);
		mask |= 1u << k;
	}
	return mask;
}

static bool mendable(const struct copies *c, const struct dmr_super *replaced)
{
	return c->verdict == VERDICT_REPAIRABLE || (replaced && c->verdict == VERDICT_CLEAN);
}

/* The next one, later than anything on either spare. */
static uint64_t next_generation(const struct copies *c, const struct dmr_super *replaced)
{
	uint64_t newest = c->tally.newest;

	if (replaced && le64_to_cpu(replaced->header.generation) > newest)
		newest = le64_to_cpu(replaced->header.generation);
	return newest + GENERATION_STEP;
}

static void count_repair(struct dmr_super *s, uint64_t now)
{
	s->repairs = cpu_to_le64(le64_to_cpu(s->repairs) + 1);
	s->last_repair = cpu_to_le64(now);
}

int mend_copies(struct copies *c, const struct dmr_super *replaced, uint64_t now,
		struct mend_result *r)
{
	struct dmr_super *s;
	unsigned int wave, held;

	memset(r, 0, sizeof(*r));
	if (!mendable(c, replaced) || copies_newer_format(c) ||
	    dmr_super_read_only(copies_super(c)))
		return -EROFS;
	/* no reader takes generations from there on: the set would be lost */
	if (next_generation(c, replaced) >= 2 * DMR_LAST_GENERATION)
		return -EOVERFLOW;
	s = blocks_alloc(1);
	if (!s)
		return -ENOMEM;
	/* after a crash of the machine alone a winner may be in the spare's cache only */
	if (!blocks_flush(c->fd)) {
		free(s);
		return -EIO;
	}
	r->failed = mend_in_turn(c, &r->blocks);
	if (r->failed == DMR_ALL_COPIES) {
		/* nothing is level, or nothing is known to be stable: a superblock that counts it would lie */
		free(s);
		return -EIO;
	}

	*s = *copies_super(c);
	s->header.previous = s->header.generation;
	s->header.generation = cpu_to_le64(next_generation(c, replaced));
	s->digest = cpu_to_le64(c->tally.adopted);
	s->failed_copies = cpu_to_le32(r->failed);
	if (c->verdict == VERDICT_REPAIRABLE)
		count_repair(s, now);
	if (replaced)
		s->state = cpu_to_le32(DMR_STATE_CLEAN);
	dmr_seal(s);

	wave = first_wave(r->failed);
	held = write_supers(c->fd, &c->layout, s, wave);
	if (held)
		held |= write_supers(c->fd, &c->layout, s, DMR_ALL_COPIES & ~wave);
	free(s);
	r->supers = __builtin_popcount(held);
	r->failed |= DMR_ALL_COPIES & ~held;
	return held ? 0 : -EIO;
}

static int format_tables(int fd, const struct dmr_layout *l, const struct dmr_super *super)
{
	struct dmr_table *t = blocks_alloc(1);
	uint32_t last = le32_to_cpu(super->table_blocks);
	int err = 0;

	if (!t)
		return -ENOMEM;
	/* and one behind the last: see dmr_tally_behind() */
	if (last < l->table_capacity)
		last++;
	for (uint32_t index = 1; !err && index <= last; index++) {
		dmr_table_init(t, super->header.uuid, index, le64_to_cpu(super->header.generation));
		for (int k = 0; k < DMR_COPIES; k++) {
			if (!block_write(fd, dmr_block_sector(l, k, index), t))
				err = -EIO;
		}
	}
	free(t);
	return !err && !blocks_flush(fd) ? -EIO : err;
}

int mend_format(int fd, const struct dmr_layout *l, struct dmr_super *super)
{
	struct dmr_super *s = blocks_alloc(1);
	unsigned int wiped;
	int err;

	if (!s)
		return -ENOMEM;
	memset(s, 0, sizeof(*s));
	wiped = write_supers(fd, l, s, DMR_ALL_COPIES);
	err = wiped == DMR_ALL_COPIES ? format_tables(fd, l, super) : -EIO;
	if (err)
		goto out;
	*s = *super;
	if (write_supers(fd, l, s, 0x3) != 0x3 || write_supers(fd, l, s, 0x1c) != 0x1c)
		err = -EIO;
out:
	free(s);
	return err;
}
