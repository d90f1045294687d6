// SPDX-License-Identifier: GPL-2.0-only
/*
 * Back to five level copies, each block from its winner.
 */
#include <linux/device-mapper.h>

#include "store_load.h"

#define DM_MSG_PREFIX "remap"

/*
 * Which copies of a block to write. A copy that lags behind after a crash is always
 * brought level; one that is damaged only if repair is allowed. One that a write has failed on is
 * left to be repaired later.
 */
static u8 to_mend(const struct dmr_store *s, const struct dmr_damage *d)
{
	return (s->no_repair ? d->stale : d->stale | d->invalid) & ~s->bad_copies;
}

/* Those of @copies that do not give back @block, which was just written to @index, are bad. */
static void read_back(struct dmr_loader *l, u8 copies, u32 index, const void *block)
{
	struct dmr_store *s = l->store;
	unsigned int i;

	for (i = 0; i < DMR_COPIES; i++)
		if (copies & 1 << i && (dmr_blocks_read(s, i, index, l->scratch, 1) ||
					memcmp(l->scratch[0], block, DMR_BLOCK_SIZE)))
			dmr_mark_bad(s, 1 << i);
}

/* Write the winners over what is not current in @copies, a batch at a time, and read them back. */
static int level_tables(struct dmr_loader *l, u8 copies, u8 *mended)
{
	struct dmr_store *s = l->store;
	u32 from, i;

	for (from = 0; from < s->tables; from += DMR_LOAD_BATCH) {
		u32 to = min_t(u32, from + DMR_LOAD_BATCH, s->tables);
		struct dmr_wave w;
		u8 any = 0;
		int r;

		for (i = from; i < to; i++)
			any |= to_mend(s, &l->table[i]) & copies;
		if (!any)
			continue;
		dmr_wave_begin(&w, s);
		for (i = from; i < to; i++)
			dmr_wave_write(&w, to_mend(s, &l->table[i]) & copies, i + 1, s->table[i]);
		r = dmr_wave_end(&w);
		if (r)
			return r;
		for (i = from; i < to; i++) {
			u8 mend = to_mend(s, &l->table[i]) & copies;

			*mended |= mend;
			read_back(l, mend, i + 1, s->table[i]);
		}
	}
	return 0;
}

/*
 * The elected superblock, as it is, over those that are not: the next one is then written with
 * five good ones to lose, and not over the last.
 */
static int level_supers(struct dmr_loader *l, u8 copies)
{
	struct dmr_store *s = l->store;
	u8 mend = to_mend(s, &l->super) & copies;
	struct dmr_wave w;
	int r;

	if (!mend)
		return 0;
	dmr_wave_begin(&w, s);
	dmr_wave_write(&w, mend, 0, s->super);
	r = dmr_wave_end(&w);
	if (!r)
		read_back(l, to_mend(s, &l->super) & copies, 0, s->super);
	return r;
}

static int level_in_turn(struct dmr_loader *l, u8 *mended)
{
	struct dmr_store *s = l->store;
	u8 left = DMR_ALL_COPIES, whole = 0, next;
	int r = 0;

	for (; left && !r; left &= ~next) {
		next = dmr_mend_next(left, whole);
		r = level_tables(l, next, mended);
		if (!r)
			r = level_supers(l, next);
		whole = (whole | next) & ~s->bad_copies;
	}
	return r;
}

/*
 * A winner may have survived a crash of the machine in the cache of the spare: what it stands in
 * for is not written over before it is stable itself.
 */
int dmr_level_copies(struct dmr_loader *l)
{
	struct dmr_store *s = l->store;
	const u8 supers = to_mend(s, &l->super);
	bool superblocks = l->tally.tail || supers;
	u8 mended = 0;
	int r = dmr_store_flush(s);

	if (!r)
		r = level_in_turn(l, &mended);
	if (r)
		return r;
	/* What that other spare got meanwhile is of no use to anybody. */
	if (le32_to_cpu(s->super->state) == DMR_STATE_MIGRATING) {
		DMWARN("%s: %pg: the move to another spare did not end, and has to be begun again",
		       dmr_set_name(s), s->bdev);
		dmr_enter_state(s, DMR_STATE_CLEAN, NULL);
		superblocks = true;
	}
	if (!superblocks && !mended && le32_to_cpu(s->super->failed_copies) == s->bad_copies)
		return 0;

	if (mended || supers) {
		dmr_note_repair(s);
		DMINFO("%s: %pg: metadata copies brought level, %u/5 valid", dmr_set_name(s),
		       s->bdev, dmr_store_valid_copies(s));
	}
	s->super->digest = cpu_to_le64(l->tally.adopted);
	return dmr_super_commit(s);
}
