// SPDX-License-Identifier: GPL-2.0-only
/*
 * From whatever five copies there are to one table.
 */
#include <linux/device-mapper.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "store_load.h"

#define DM_MSG_PREFIX "remap"

struct supers {
	struct dmr_super *super[DMR_COPIES];
	enum dmr_fault fault[DMR_COPIES];
};

/* Read those of s->layout. Returns how many valid ones record just this layout. */
static unsigned int read_supers(struct dmr_store *s, struct supers *p)
{
	unsigned int fitting = 0;
	int i;

	for (i = 0; i < DMR_COPIES; i++) {
		if (dmr_blocks_read(s, i, 0, (void **)&p->super[i], 1))
			p->fault[i] = DMR_UNREADABLE;
		else
			p->fault[i] = dmr_super_check(p->super[i], bdev_nr_sectors(s->bdev));
		fitting += p->fault[i] == DMR_OK &&
			   le64_to_cpu(p->super[i]->spare_sectors) == s->layout.sectors;
	}
	return fitting;
}

/*
 * A spare that was enlarged has its copies where they were: superblocks at the places of its
 * present size (copy 0 always is) tell the size they were made for, also if a power cut tore them.
 * The layout with most superblocks to its name stands; what records another one does not belong
 * where it is.
 */
static void find_layout(struct dmr_store *s, struct supers *p)
{
	unsigned int fitting, most = read_supers(s, p);
	struct dmr_layout best = s->layout;
	u64 size[DMR_COPIES] = {};
	int i;

	for (i = 0; i < DMR_COPIES; i++)
		if (p->fault[i] != DMR_UNREADABLE)
			size[i] = dmr_super_hint(p->super[i]);
	for (i = 0; i < DMR_COPIES; i++) {
		if (size[i] >= bdev_nr_sectors(s->bdev) ||
		    dmr_layout_init(&s->layout, size[i]) != DMR_OK)
			continue;
		fitting = read_supers(s, p);
		if (fitting > most) {
			most = fitting;
			best = s->layout;
		}
	}
	if (s->layout.sectors != best.sectors) {
		s->layout = best;
		read_supers(s, p);
	}
	for (i = 0; i < DMR_COPIES; i++)
		if (p->fault[i] == DMR_OK &&
		    le64_to_cpu(p->super[i]->spare_sectors) != s->layout.sectors)
			p->fault[i] = DMR_BAD_GEOMETRY;
}

static int identify(struct dmr_store *s, struct supers *p, const u8 *uuid)
{
	bool empty = true, readable = false;
	int winner;
	int i;

	find_layout(s, p);
	for (i = 0; i < DMR_COPIES; i++) {
		empty &= p->fault[i] == DMR_EMPTY;
		readable |= p->fault[i] != DMR_UNREADABLE;
		if (p->fault[i] == DMR_BAD_FEATURE) {
			DMERR("%pg: %s", s->bdev, dmr_fault_text(p->fault[i]));
			return -EOPNOTSUPP;
		}
	}
	if (empty)
		return 1;

	winner = dmr_super_elect((const struct dmr_super *const *)p->super, p->fault, uuid);
	if (winner < 0) {
		for (i = 0; i < DMR_COPIES; i++)
			DMERR("%pg: superblock %d: %s", s->bdev, i, dmr_fault_text(p->fault[i]));
		return readable ? -EUCLEAN : -EIO;
	}
	memcpy(s->super, p->super[winner], DMR_BLOCK_SIZE);
	for (i = 0; i < DMR_COPIES; i++) {
		if (p->fault[i] == DMR_STALE)
			s->old_supers |= 1 << i;
		else if (p->fault[i] != DMR_OK)
			s->bad_copies |= 1 << i;
	}
	return 0;
}

int dmr_store_identify(struct dmr_store *s, const u8 *uuid)
{
	struct supers p;
	int r = -ENOMEM;
	int i;

	dmr_store_forget(s);
	for (i = 0; i < DMR_COPIES; i++)
		p.super[i] = dmr_block_alloc();
	if (p.super[0] && p.super[1] && p.super[2] && p.super[3] && p.super[4])
		r = identify(s, &p, uuid);
	for (i = 0; i < DMR_COPIES; i++)
		dmr_block_free(p.super[i]);
	return r;
}

/* Count the instances of table blocks [@from, @from + @count) in @copy, keeping those that lead. */
static void vote_copy(struct dmr_loader *l, unsigned int copy, u32 from, u32 count)
{
	struct dmr_store *s = l->store;
	bool whole = !dmr_blocks_read(s, copy, from + 1, l->scratch, count);
	u32 i;

	for (i = 0; i < count; i++) {
		if (!whole && dmr_blocks_read(s, copy, from + i + 1, &l->scratch[i], 1))
			continue;
		if (dmr_table_check(l->scratch[i], s->super, from + i + 1) != DMR_OK)
			continue;
		if (dmr_vote_add(&l->vote[i], s->super, copy, l->scratch[i])) {
			void *best = l->scratch[i];

			l->scratch[i] = s->table[from + i];
			s->table[from + i] = best;
		}
	}
}

/* What was written behind the end of the table, if there is room. */
static void look_behind(struct dmr_loader *l)
{
	struct dmr_store *s = l->store;
	unsigned int copy;

	for (copy = 0; copy < DMR_COPIES && s->tables < s->layout.table_capacity; copy++)
		if (!dmr_blocks_read(s, copy, s->tables + 1, l->scratch, 1))
			dmr_tally_behind(&l->tally, s->super, l->scratch[0]);
}

/* The winners of table blocks [@from, @from + @count). */
static void vote_batch(struct dmr_loader *l, u32 from, u32 count)
{
	struct dmr_store *s = l->store;
	unsigned int copy;
	u32 i;

	for (i = 0; i < count; i++)
		dmr_vote_init(&l->vote[i]);
	for (copy = 0; copy < DMR_COPIES; copy++)
		vote_copy(l, copy, from, count);
	for (i = 0; i < count; i++) {
		const struct dmr_vote *v = &l->vote[i];

		dmr_tally_add(&l->tally, s->super, from + i + 1, v);
		l->table[from + i].stale = v->valid & ~v->holders;
		l->table[from + i].invalid = ~v->valid & DMR_ALL_COPIES;
	}
}

/*
 * A superblock may count more blocks than there is memory for: no more is taken than for twice as
 * many as were found.
 */
static int vote_tables(struct dmr_loader *l)
{
	struct dmr_store *s = l->store;
	const u32 tables = le32_to_cpu(s->super->table_blocks);
	enum dmr_fault fault;
	u32 from;

	dmr_tally_init(&l->tally, s->super);
	for (from = 0; from < tables && l->tally.fault == DMR_OK; from += DMR_LOAD_BATCH) {
		if (from == s->tables &&
		    dmr_store_grow(s, min_t(u64, tables, 2ULL * from + DMR_LOAD_BATCH), 1))
			return -ENOMEM;
		vote_batch(l, from, min_t(u32, DMR_LOAD_BATCH, s->tables - from));
		cond_resched();
	}
	look_behind(l);
	fault = dmr_tally_verdict(&l->tally, s->super);
	if (fault == DMR_OK)
		return 0;
	DMERR("%pg: remap table: %s", s->bdev, dmr_fault_text(fault));
	return -EUCLEAN;
}

static int compare_main(const void *a, const void *b)
{
	u64 x = le64_to_cpu(((const struct dmr_entry *)a)->main);
	u64 y = le64_to_cpu(((const struct dmr_entry *)b)->main);

	return x < y ? -1 : x > y;
}

static int compare_spare(const void *a, const void *b)
{
	u64 x = le64_to_cpu(((const struct dmr_entry *)a)->spare);
	u64 y = le64_to_cpu(((const struct dmr_entry *)b)->spare);

	return x < y ? -1 : x > y;
}

static bool overlapping(struct dmr_entry *entry, u64 count, bool by_main)
{
	u64 i;

	sort(entry, count, sizeof(*entry), by_main ? compare_main : compare_spare, NULL);
	for (i = 1; i < count; i++)
		if (dmr_entries_overlap(&entry[i - 1], &entry[i], by_main))
			return true;
	return false;
}

/* Fill the map from entries sorted by main; region by region, so that each is made once. */
static int fill_map(struct dmr_extents *x, const struct dmr_entry *entry, u64 count)
{
	struct dmr_update u;
	int r = 0;
	u64 i;

	dmr_update_begin(&u, x);
	for (i = 0; i < count && !r; i++) {
		r = dmr_update_set(&u, le64_to_cpu(entry[i].main),
				   le64_to_cpu(entry[i].spare) | (entry[i].flags ? DMR_NO_DATA : 0),
				   le32_to_cpu(entry[i].sectors));
		if (i + 1 < count && le64_to_cpu(entry[i].main) >> x->shift !=
					     le64_to_cpu(entry[i + 1].main) >> x->shift) {
			dmr_update_publish(&u);
			cond_resched();
		}
	}
	dmr_update_publish(&u);
	return r;
}

static int check_and_map(struct dmr_store *s, struct dmr_entry *entry, struct dmr_extents *x)
{
	u64 n = 0;
	u32 i;

	for (i = 0; i < s->tables; i++) {
		u32 count = le32_to_cpu(s->table[i]->header.count);

		memcpy(entry + n, s->table[i]->entry, count * sizeof(*entry));
		n += count;
		if (count)
			s->fill = i;
	}
	if (overlapping(entry, n, false)) {
		DMERR("%pg: remap table: %s", s->bdev, dmr_fault_text(DMR_OVERLAP_SPARE));
		return -EUCLEAN;
	}
	if (n)
		s->cursor = le64_to_cpu(entry[n - 1].spare) + le32_to_cpu(entry[n - 1].sectors);
	if (overlapping(entry, n, true)) {
		DMERR("%pg: remap table: %s", s->bdev, dmr_fault_text(DMR_OVERLAP_MAIN));
		return -EUCLEAN;
	}
	for (i = 0; i < n; i++)
		s->remapped += le32_to_cpu(entry[i].sectors);
	s->extents = n;
	return fill_map(x, entry, n);
}

static int build_map(struct dmr_store *s, struct dmr_extents *x)
{
	struct dmr_entry *entry;
	u64 n = 0;
	u32 i;
	int r;

	for (i = 0; i < s->tables; i++)
		n += le32_to_cpu(s->table[i]->header.count);
	entry = kvmalloc_array(n + 1, sizeof(*entry), GFP_KERNEL | __GFP_NOWARN);
	if (!entry)
		return -ENOMEM;
	r = check_and_map(s, entry, x);
	kvfree(entry);
	return r;
}

static void note_bad_copies(struct dmr_loader *l)
{
	struct dmr_store *s = l->store;
	u8 bad = l->super.invalid;
	u32 i;

	for (i = 0; i < s->tables; i++)
		bad |= l->table[i].invalid;
	/* What is about to be mended is not bad, unless mending it fails. */
	s->bad_copies = s->no_repair || s->read_only ? bad : 0;
}

static int load(struct dmr_loader *l, struct dmr_extents *x)
{
	struct dmr_store *s = l->store;
	int r = vote_tables(l);

	if (!r)
		r = build_map(s, x);
	if (r)
		return r;
	if (!s->read_only && l->tally.newest >= DMR_LAST_GENERATION) {
		DMERR("%pg: %s", s->bdev, dmr_fault_text(DMR_BAD_GENERATION));
		return -EOVERFLOW;
	}
	note_bad_copies(l);
	s->committed = le64_to_cpu(s->super->header.generation);
	dmr_store_count_room(s);
	/*
	 * One generation is skipped, so that what a commit left in a copy that cannot be
	 * read today is not mistaken for what the next one writes.
	 */
	s->generation = l->tally.newest + 1;
	if (!s->read_only)
		r = dmr_level_copies(l);
	/*
	 * On thin ice the set is still good for what needs no commit. Not if it lives by blocks
	 * that no superblock counts: what is written by them could be lost with one more copy.
	 */
	return dmr_store_writable(s) || l->tally.tail ? r : 0;
}

int dmr_store_load(struct dmr_store *s, struct dmr_extents *x)
{
	struct dmr_loader *l = kzalloc(sizeof(*l), GFP_KERNEL);
	int r = -ENOMEM;
	unsigned int i;

	if (!l)
		return r;
	if (dmr_super_read_only(s->super) && !s->read_only) {
		DMERR("%pg: unknown feature: the set can only be opened read-only", s->bdev);
		r = -EROFS;
		goto out;
	}
	l->store = s;
	l->super.invalid = s->bad_copies;
	l->super.stale = s->old_supers;
	l->table = kvcalloc(le32_to_cpu(s->super->table_blocks), sizeof(*l->table),
			    GFP_KERNEL | __GFP_NOWARN);
	if (!l->table)
		goto out;
	for (i = 0; i < DMR_LOAD_BATCH; i++) {
		l->scratch[i] = dmr_block_alloc();
		if (!l->scratch[i])
			goto out;
	}
	r = load(l, x);
	if (r)
		dmr_extents_clear(x);
out:
	for (i = 0; i < DMR_LOAD_BATCH; i++)
		if (l->scratch[i])
			dmr_block_free(l->scratch[i]);
	kvfree(l->table);
	kfree(l);
	return r;
}
