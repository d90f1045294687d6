// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether the copies still hold the table in use, block by block, and what to do where they don't.
 *
 * The table in use was elected when it was loaded, and each commit since has written it. So it is
 * what a copy is mended from, once it has passed the checks that anything from a spare has to.
 */
#include <linux/device-mapper.h>

#include "store_io.h"

#define DM_MSG_PREFIX "remap"

/* What was written without an error, and is not there: once more, somebody may be at work there. */
#define TRIES 3

static_assert(DMR_LOOK_BLOCKS <= 32, "a bit per block in an u32");

int dmr_look_init(struct dmr_look *l)
{
	unsigned int i;

	for (i = 0; i < DMR_LOOK_BLOCKS; i++) {
		l->block[i] = dmr_block_alloc();
		if (!l->block[i])
			return -ENOMEM;
	}
	return 0;
}

void dmr_look_exit(struct dmr_look *l)
{
	unsigned int i;

	for (i = 0; i < DMR_LOOK_BLOCKS; i++)
		if (l->block[i])
			dmr_block_free(l->block[i]);
}

void dmr_look_begin(struct dmr_look *l, const struct dmr_store *s, unsigned int copy)
{
	l->copy = copy;
	l->index = 0;
	l->count = 0;
	l->singly = 0;
	l->mended = 0;
	l->left = 0;
	dmr_look_next(l, s);
}

bool dmr_look_next(struct dmr_look *l, const struct dmr_store *s)
{
	const u32 end = s->tables + 1;

	l->index += l->count;
	l->count = l->index < l->singly ? 1 : min_t(u32, DMR_LOOK_BLOCKS, end - l->index);
	l->sector = dmr_block_sector(&s->layout, l->copy, l->index);
	return l->index < end;
}

/* One block that cannot be read may take seconds, so the blocks around it come one at a time. */
void dmr_look_read(struct dmr_look *l, struct dmr_store *s)
{
	l->readable = !dmr_blocks_read_at(s, l->sector, l->block, l->count);
	if (l->readable || l->count == 1)
		return;
	l->singly = l->index + l->count;
	l->count = 1;
	l->readable = !dmr_blocks_read_at(s, l->sector, l->block, 1);
}

/* What block @index has to be. */
static void *wanted(const struct dmr_store *s, u32 index)
{
	return index ? (void *)s->table[index - 1] : s->super;
}

static bool is_sound(const struct dmr_store *s, u32 index)
{
	const void *block = wanted(s, index);

	return index ? dmr_table_check(block, s->super, index) == DMR_OK
		     : dmr_super_check(block, s->layout.sectors) == DMR_OK;
}

/* Bit per block that is not what it has to be. */
static u32 compare(const struct dmr_look *l, const struct dmr_store *s)
{
	u32 differ = 0, i;

	if (!l->readable)
		return 1;
	for (i = 0; i < l->count; i++)
		if (memcmp(l->block[i], wanted(s, l->index + i), DMR_BLOCK_SIZE))
			differ |= 1U << i;
	return differ;
}

/*
 * True if a superblock that was read must not be written over, as somebody else has written it: a
 * newer one of this set that counts another table, or that has moved on to another spare, or one
 * with features that this code doesn't know. Another kernel may have mended the copies, while this
 * one was hibernated. In any case the next generation has to be newer than what that has written.
 */
static bool is_foreign(const struct dmr_super *theirs, struct dmr_store *s)
{
	const struct dmr_super *ours = s->super;
	enum dmr_fault fault = dmr_super_check(theirs, s->layout.sectors);
	const u64 generation = le64_to_cpu(theirs->header.generation);

	if (memcmp(theirs->header.uuid, ours->header.uuid, DMR_UUID_SIZE))
		return false;
	if (fault == DMR_BAD_FEATURE)
		return true;
	if (fault != DMR_OK || generation <= s->generation)
		return false;
	if (generation >= DMR_LAST_GENERATION)
		return true;
	WRITE_ONCE(s->generation, generation);
	return theirs->digest != ours->digest || theirs->table_blocks != ours->table_blocks ||
	       theirs->state == cpu_to_le32(DMR_STATE_SUPERSEDED);
}

static void say_foreign(const struct dmr_store *s, unsigned int copy)
{
	DMERR("%s: %pg: metadata copy %u was written by somebody else, writing nothing",
	      dmr_set_name(s), s->bdev, copy);
}

/* One copy may be one that the other could not write. */
int dmr_store_is_ours(struct dmr_store *s)
{
	void *block = s->theirs;
	unsigned int i, read = 0;

	for (i = 0; i < DMR_COPIES && read < DMR_SAFE_COPIES; i++) {
		if (s->bad_copies & 1 << i || dmr_blocks_read(s, i, 0, &block, 1))
			continue;
		read++;
		if (!is_foreign(s->theirs, s))
			continue;
		say_foreign(s, i);
		WRITE_ONCE(s->failed, true);
		return -EIO;
	}
	return 0;
}

/* The error of a flush; 1: that of a write. */
static int write_over(struct dmr_look *l, struct dmr_store *s, u32 damaged)
{
	struct dmr_wave w;
	u32 i;
	int r;

	dmr_wave_begin(&w, s);
	for (i = 0; i < l->count; i++)
		if (damaged & 1U << i)
			dmr_wave_write(&w, 1 << l->copy, l->index + i, wanted(s, l->index + i));
	r = dmr_wave_end(&w);
	return r ? r : w.copy[l->copy].status != BLK_STS_OK;
}

static int check(struct dmr_look *l, struct dmr_store *s, u32 damaged)
{
	u32 i;

	if (!l->index && damaged & 1 && l->readable && is_foreign(l->block[0], s)) {
		say_foreign(s, l->copy);
		return -EUCLEAN;
	}
	for (i = 0; i < l->count; i++) {
		if (!(damaged & 1U << i) || is_sound(s, l->index + i))
			continue;
		DMERR("%s: %pg: metadata block %u is damaged in memory, writing nothing",
		      dmr_set_name(s), s->bdev, l->index + i);
		return -EUCLEAN;
	}
	return 0;
}

int dmr_look_compare(struct dmr_look *l, struct dmr_store *s, bool mend)
{
	u32 damaged = compare(l, s), before;
	unsigned int tries;
	int r;

	if (!damaged)
		return 0;
	if (l->readable) {
		dmr_look_read(l, s);
		damaged = compare(l, s);
	}
	before = damaged;
	r = check(l, s, damaged);
	for (tries = 0; !r && damaged && mend && tries < TRIES; tries++) {
		r = write_over(l, s, damaged);
		if (r < 0)
			break;
		dmr_look_read(l, s);
		damaged = compare(l, s);
	}
	l->mended += hweight32(before & ~damaged);
	l->left += hweight32(damaged);
	return min(r, 0);
}

void dmr_store_join(struct dmr_store *s, unsigned int copy)
{
	s->joining |= s->bad_copies & 1 << copy;
}

bool dmr_store_judge(struct dmr_store *s, unsigned int copy, u64 began, bool whole)
{
	const u8 bit = 1 << copy;
	const bool bad = s->bad_copies & bit;
	/* All that was committed since was written there, too. */
	const bool up_to_date = !bad || s->joining & bit || s->generation == began;

	s->joining &= ~bit;
	/* What was read may have been in the cache of the spare only. */
	if (bad && whole && up_to_date)
		whole = !dmr_store_flush(s);
	if (!whole)
		dmr_mark_bad(s, bit);
	else if (bad && up_to_date)
		WRITE_ONCE(s->bad_copies, s->bad_copies & ~bit);
	return whole && bad && up_to_date;
}
