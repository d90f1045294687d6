// SPDX-License-Identifier: GPL-2.0-only
/*
 * The order in which blocks are written to the copies, so that whatever tears, what is committed
 * is left.
 */
#include <linux/bitmap.h>
#include <linux/device-mapper.h>
#include <linux/timekeeping.h>

#include "store_io.h"

#define DM_MSG_PREFIX "remap"

/* The @count lowest of @copies. */
static u8 lowest(u8 copies, unsigned int count)
{
	u8 rest = copies;

	while (count--)
		rest &= rest - 1;
	return copies & ~rest;
}

u8 dmr_good_copies(const struct dmr_store *s)
{
	return DMR_ALL_COPIES & ~s->bad_copies;
}

/* How many copies may tear at once while the good instances of a block are all old. */
static unsigned int half(const struct dmr_store *s)
{
	return dmr_store_valid_copies(s) / 2;
}

/*
 * A wave of the changed table blocks, which are none between two commits, to @tables and of the
 * superblock to @supers.
 */
static int write_wave(struct dmr_store *s, u8 tables, u8 supers)
{
	struct dmr_wave w;
	u32 i;

	dmr_wave_begin(&w, s);
	if (tables)
		for_each_set_bit(i, s->dirty, s->tables)
			dmr_wave_write(&w, tables, i + 1, s->table[i]);
	dmr_wave_write(&w, supers, 0, s->super);
	return dmr_wave_end(&w);
}

static void seal_super(struct dmr_store *s, u64 generation)
{
	s->super->header.previous = s->super->header.generation;
	s->super->header.generation = cpu_to_le64(generation);
	s->super->failed_copies = cpu_to_le32(s->bad_copies);
	dmr_seal(s->super);
}

int dmr_enough_copies(const struct dmr_store *s)
{
	return dmr_store_valid_copies(s) >= DMR_SAFE_COPIES ? 0 : -EIO;
}

/* A wave of both to @copies, and of the superblock alone to those of them in @lead. */
static int write_both(struct dmr_store *s, u8 copies, u8 lead)
{
	int r = write_wave(s, copies & ~lead, copies);

	/* What was there before is gone, and what is there now not known to be stable. */
	if (r)
		dmr_mark_bad(s, copies);
	return r;
}

int dmr_publish(struct dmr_store *s, u8 lead)
{
	int r = dmr_enough_copies(s);
	u8 done = 0, next;

	while (!r && (next = dmr_good_copies(s) & ~done)) {
		const bool first = !(done & dmr_good_copies(s));

		if (first)
			next = lowest(next & lead ? next & lead : next, half(s));
		/* None of the lead is left. No superblock may be there before its table. */
		if (first && !(next & lead)) {
			r = write_wave(s, next, 0);
			next &= dmr_good_copies(s);
			lead |= next;
		}
		if (!r)
			r = write_both(s, next, lead);
		if (!r)
			r = dmr_enough_copies(s);
		done |= next;
	}
	if (r)
		return r;
	s->committed = le64_to_cpu(s->super->header.generation);
	/* Nobody relies on these. */
	if (s->joining)
		write_both(s, s->joining, lead);
	return 0;
}

void dmr_note_repair(struct dmr_store *s)
{
	s->super->repairs = cpu_to_le64(le64_to_cpu(s->super->repairs) + 1);
	s->super->last_repair = cpu_to_le64(ktime_get_real_seconds());
}

static int commit_super(struct dmr_store *s)
{
	WRITE_ONCE(s->generation, s->generation + 1);
	seal_super(s, s->generation);
	return dmr_publish(s, DMR_ALL_COPIES);
}

int dmr_super_commit(struct dmr_store *s)
{
	int r = dmr_store_is_ours(s);

	return r ? r : commit_super(s);
}

/* Give the changed table blocks their new generation; the superblock's digest follows. */
static void seal_tables(struct dmr_store *s, u64 generation)
{
	u64 digest = le64_to_cpu(s->super->digest);
	u32 i;

	for_each_set_bit(i, s->dirty, s->tables) {
		struct dmr_header *h = &s->table[i]->header;

		digest -= dmr_digest(i + 1, le64_to_cpu(h->generation));
		h->previous = h->generation;
		h->generation = cpu_to_le64(generation);
		digest += dmr_digest(i + 1, generation);
		dmr_seal(s->table[i]);
	}
	s->super->digest = cpu_to_le64(digest);
}

/*
 * Write the changed table blocks to good copies until two hold them. No wave touches more than
 * half of the good instances of a block while none is new. Returns the copies in @lead.
 */
static int write_lead(struct dmr_store *s, u8 *lead)
{
	int r = dmr_enough_copies(s);

	*lead = 0;
	while (!r && hweight8(*lead) < DMR_SAFE_COPIES) {
		u8 next = lowest(dmr_good_copies(s) & ~*lead, *lead ? 1 : half(s));

		r = write_wave(s, next, 0);
		if (!r)
			r = dmr_enough_copies(s);
		*lead = (*lead | next) & dmr_good_copies(s);
	}
	return r;
}

/*
 * The data of every remap that is entered here is stable on the spare before this is called.
 *
 *   wave 1: table blocks to two copies, the lead        flush
 *   wave 2: superblock to these                         flush
 *   wave 3: both to the other copies                    flush
 *
 * With only two or three good copies left, wave 1 goes to one after the other and wave 2 to the
 * first of them only: a wave may tear all that it writes.
 *
 * A crash in wave 1 or 2 leaves the others as they were, with the old version of every block. In
 * wave 2 the new table blocks are stable in the lead; a load adopts blocks newer than its
 * superblock, which verifies what they replaced. In wave 3 the lead is wholly new. So at each
 * instant there is a copy (two, of four or five good ones) that needs no other to tell the newest
 * version of which anybody was told, and nobody was told of a version before all of this is done.
 *
 * After an error it is not known what a load will find. The store commits nothing more and its
 * owner must acknowledge no further write: one that went to main could be hidden by an entry
 * that was stable after all.
 */
int dmr_store_commit(struct dmr_store *s)
{
	u8 lead;
	int r;

	if (s->failed)
		return -EIO;
	if (bitmap_empty(s->dirty, s->tables))
		return 0;

	WRITE_ONCE(s->generation, s->generation + 1);
	seal_tables(s, s->generation);
	r = write_lead(s, &lead);
	if (!r) {
		seal_super(s, s->generation);
		r = dmr_publish(s, lead);
	}
	if (r) {
		DMERR("%s: %pg: commit of generation %llu failed (%d)", dmr_set_name(s), s->bdev,
		      s->generation, r);
		s->failed = true;
		return r;
	}
	bitmap_zero(s->dirty, s->tables);
	return 0;
}

int dmr_store_save(struct dmr_store *s)
{
	int r = dmr_store_check(s);

	if (r)
		return r;
	r = dmr_super_commit(s);
	s->failed |= r != 0;
	return r;
}

void dmr_enter_state(struct dmr_store *s, enum dmr_state state, const u8 *peer)
{
	s->super->state = cpu_to_le32(state);
	if (peer)
		memcpy(s->super->peer_uuid, peer, DMR_UUID_SIZE);
}

int dmr_store_set_state(struct dmr_store *s, enum dmr_state state, const u8 *peer)
{
	int r = dmr_store_check(s);

	if (r)
		return r;
	dmr_enter_state(s, state, peer);
	return dmr_super_commit(s);
}

int dmr_store_retire(struct dmr_store *s, enum dmr_state state, const u8 *peer)
{
	int r;

	dmr_enter_state(s, state, peer);
	r = commit_super(s);
	if (r)
		write_wave(s, 0, DMR_ALL_COPIES);
	return r;
}

int dmr_store_count_repair(struct dmr_store *s)
{
	int r = dmr_store_check(s);

	if (r)
		return r;
	dmr_note_repair(s);
	return dmr_super_commit(s);
}

int dmr_store_count_scrub(struct dmr_store *s)
{
	int r = dmr_store_check(s);

	if (r)
		return r;
	s->super->scrubs = cpu_to_le64(le64_to_cpu(s->super->scrubs) + 1);
	return dmr_super_commit(s);
}
