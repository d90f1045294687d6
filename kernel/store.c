// SPDX-License-Identifier: GPL-2.0-only
#include <linux/align.h>
#include <linux/bitmap.h>
#include <linux/device-mapper.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include "store_io.h"

#define DM_MSG_PREFIX "remap"

/* Bios kept back for metadata, so that a commit gets on when memory is short. */
#define RESERVED_BIOS 16

/*
 * Entries that new remaps fill a table block with. The rest is for those that are cut when a place
 * on the spare goes bad and a part of them moves on.
 */
#define FILL_ENTRIES (DMR_BLOCK_ENTRIES - 8)

int dmr_store_init(struct dmr_store *s, struct block_device *bdev)
{
	int r;

	memset(s, 0, sizeof(*s));
	s->bdev = bdev;
	if (dmr_layout_init(&s->layout, bdev_nr_sectors(bdev)) != DMR_OK)
		return -EINVAL;
	r = bioset_init(&s->bios, RESERVED_BIOS, 0, BIOSET_NEED_BVECS);
	if (r)
		return r;
	s->super = dmr_block_alloc();
	s->end = dmr_block_alloc();
	return s->super && s->end ? 0 : -ENOMEM;
}

static void free_tables(struct dmr_store *s)
{
	u32 i;

	for (i = 0; i < s->tables; i++)
		dmr_block_free(s->table[i]);
	kvfree(s->table);
	kvfree(s->dirty);
	s->table = NULL;
	s->dirty = NULL;
	s->tables = 0;
}

void dmr_store_forget(struct dmr_store *s)
{
	free_tables(s);
	/* It was large enough when the store was made. */
	dmr_layout_init(&s->layout, bdev_nr_sectors(s->bdev));
	s->fill = 0;
	s->cursor = 0;
	s->generation = 0;
	s->committed = 0;
	s->old_supers = 0;
	s->bad_copies = 0;
	s->joining = 0;
	s->failed = false;
	s->extents = 0;
	s->remapped = 0;
}

void dmr_store_exit(struct dmr_store *s)
{
	free_tables(s);
	dmr_block_free(s->super);
	dmr_block_free(s->end);
	bioset_exit(&s->bios);
}

/* The @count lowest of @copies. */
static u8 lowest(u8 copies, unsigned int count)
{
	u8 rest = copies;

	while (count--)
		rest &= rest - 1;
	return copies & ~rest;
}

static u8 good_copies(const struct dmr_store *s)
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

static int enough_copies(const struct dmr_store *s)
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

/*
 * Write the superblock to all good copies, and the changed table blocks to those not in @lead,
 * which have them. While nobody has the superblock, half of the copies at most are written at
 * once: those of @lead, as long as there are any. Copies that join come last, by themselves: before
 * that, what they hold must not win over the good ones.
 */
static int publish(struct dmr_store *s, u8 lead)
{
	int r = enough_copies(s);
	u8 done = 0, next;

	while (!r && (next = good_copies(s) & ~done)) {
		if (!(done & good_copies(s)))
			next = lowest(next & lead ? next & lead : next, half(s));
		r = write_both(s, next, lead);
		if (!r)
			r = enough_copies(s);
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

int dmr_super_commit(struct dmr_store *s)
{
	WRITE_ONCE(s->generation, s->generation + 1);
	seal_super(s, s->generation);
	return publish(s, DMR_ALL_COPIES);
}

int dmr_store_grow(struct dmr_store *s, u32 tables, u64 generation)
{
	struct dmr_table **table = kvcalloc(tables, sizeof(*table), GFP_NOIO | __GFP_NOWARN);
	unsigned long *dirty =
		kvcalloc(BITS_TO_LONGS(tables), sizeof(*dirty), GFP_NOIO | __GFP_NOWARN);
	u32 i = s->tables;

	if (!table || !dirty)
		goto no_memory;
	for (; i < tables; i++) {
		table[i] = dmr_block_alloc();
		if (!table[i])
			goto no_memory;
		dmr_table_init(table[i], s->super->header.uuid, i + 1, generation);
	}
	if (s->tables) {
		memcpy(table, s->table, s->tables * sizeof(*table));
		bitmap_copy(dirty, s->dirty, s->tables);
	}
	kvfree(s->table);
	kvfree(s->dirty);
	s->table = table;
	s->dirty = dirty;
	s->tables = tables;
	return 0;

no_memory:
	while (i-- > s->tables)
		dmr_block_free(table[i]);
	kvfree(table);
	kvfree(dirty);
	return -ENOMEM;
}

/*
 * Write the table blocks from @from to the last one, which are new, to @copies, and an empty block
 * behind them: what an earlier set of the same UUID left there must not pass for a part of this.
 */
static int write_new_tables(struct dmr_store *s, u32 from, u64 generation, u8 copies)
{
	struct dmr_wave w;
	u32 i;

	dmr_table_init(s->end, s->super->header.uuid, s->tables + 1, generation);
	dmr_wave_begin(&w, s);
	for (i = from; i < s->tables; i++)
		dmr_wave_write(&w, copies, i + 1, s->table[i]);
	if (s->tables < s->layout.table_capacity)
		dmr_wave_write(&w, copies, s->tables + 1, s->end);
	return dmr_wave_end(&w);
}

/* Zeroes, or a table block that holds nothing, which a format that was cut short has left. */
static bool is_blank(const struct dmr_table *t)
{
	if (t->header.magic == cpu_to_le64(DMR_MAGIC_TABLE))
		return !memchr_inv(t->entry, 0, sizeof(t->entry));
	return !memchr_inv(t, 0, sizeof(*t));
}

/*
 * Look at all that a format writes over: many filesystems leave the first block of a device alone,
 * and places further on are often empty. -EUCLEAN if it holds anything, or the I/O error.
 */
static int check_run(struct dmr_store *s, struct dmr_look *l)
{
	int r = dmr_blocks_read(s, l->copy, l->index, l->block, l->count);
	u32 i;

	if (r)
		return r;
	for (i = 0; i < l->count; i++) {
		if (is_blank(l->block[i]))
			continue;
		DMERR("%pg: no set, and not empty at sector %llu: zero it first", s->bdev,
		      dmr_block_sector(&s->layout, l->copy, l->index + i));
		return -EUCLEAN;
	}
	return 0;
}

int dmr_store_check_blank(struct dmr_store *s)
{
	u32 end = min_t(u32, DMR_TABLE_STEP + 1, s->layout.table_capacity) + 1;
	struct dmr_look *l = kzalloc(sizeof(*l), GFP_KERNEL);
	int r;

	if (!l)
		return -ENOMEM;
	r = dmr_look_init(l);
	for (; l->copy < DMR_COPIES && !r; l->copy++) {
		for (l->index = 0; l->index < end && !r; l->index += l->count) {
			l->count = min_t(u32, DMR_LOOK_BLOCKS, end - l->index);
			r = check_run(s, l);
		}
	}
	dmr_look_exit(l);
	kfree(l);
	return r;
}

int dmr_store_format(struct dmr_store *s)
{
	const u64 generation = le64_to_cpu(s->super->header.generation);
	int r;

	s->generation = generation;
	r = dmr_store_grow(s, le32_to_cpu(s->super->table_blocks), generation);
	if (r)
		return r;
	dmr_store_count_room(s);
	r = write_new_tables(s, 0, generation, DMR_ALL_COPIES);
	if (!r)
		r = enough_copies(s);
	return r ? r : publish(s, DMR_ALL_COPIES);
}

/*
 * Make the table longer: the new, empty blocks are stable in every copy before a
 * superblock counts them. Until then nobody reads them, so no waves are needed.
 */
static int extend_table(struct dmr_store *s)
{
	u32 old = s->tables;
	u32 new = min(old + DMR_TABLE_STEP, s->layout.table_capacity);
	u64 digest = le64_to_cpu(s->super->digest);
	u64 generation = s->generation + 1;
	int r;
	u32 i;

	if (new == old)
		return -ENOSPC;
	r = dmr_store_grow(s, new, generation);
	if (r)
		return r;
	WRITE_ONCE(s->generation, generation);
	r = write_new_tables(s, old, generation, good_copies(s) | s->joining);
	if (!r)
		r = enough_copies(s);
	if (!r) {
		for (i = old; i < new; i++)
			digest += dmr_digest(i + 1, generation);
		s->super->digest = cpu_to_le64(digest);
		s->super->table_blocks = cpu_to_le32(new);
		r = dmr_super_commit(s);
	}
	s->failed |= r != 0;
	return r;
}

sector_t dmr_store_alloc(struct dmr_store *s, sector_t sectors, unsigned int unit, sector_t *start)
{
	u64 from = s->cursor, at;
	u64 run;

	while ((run = dmr_data_run(&s->layout, from, &at)) != 0) {
		u64 skip = ALIGN(at, unit) - at;

		if (run >= skip + unit) {
			*start = at + skip;
			run = min_t(u64, round_down(run - skip, unit), sectors);
			WRITE_ONCE(s->cursor, *start + run);
			return run;
		}
		from = at + run;
	}
	return 0;
}

static u32 entries(const struct dmr_store *s, u32 table)
{
	return le32_to_cpu(s->table[table]->header.count);
}

static bool is_full(const struct dmr_store *s)
{
	return entries(s, s->fill) >= FILL_ENTRIES;
}

void dmr_store_count_room(struct dmr_store *s)
{
	u64 room = (u64)(s->layout.table_capacity - s->fill - 1) * FILL_ENTRIES;

	WRITE_ONCE(s->room, is_full(s) ? room : room + FILL_ENTRIES - entries(s, s->fill));
}

int dmr_store_reserve(struct dmr_store *s)
{
	int r = dmr_store_check(s);

	if (r)
		return r;
	if (!is_full(s) || s->fill + 1 < s->tables)
		return 0;
	return extend_table(s);
}

void dmr_store_add(struct dmr_store *s, sector_t main, sector_t spare, u32 sectors, u32 flags)
{
	u32 count;

	if (is_full(s))
		s->fill++;
	count = entries(s, s->fill);
	dmr_table_insert(s->table[s->fill], main, spare, sectors, flags);
	__set_bit(s->fill, s->dirty);
	WRITE_ONCE(s->extents, s->extents + entries(s, s->fill) - count);
	WRITE_ONCE(s->remapped, s->remapped + sectors);
	dmr_store_count_room(s);
}

int dmr_store_replace(struct dmr_store *s, sector_t main, sector_t spare, u32 sectors, u32 flags)
{
	u32 i, count;

	for (i = 0; i <= s->fill && !dmr_table_holds(s->table[i], main, sectors); i++)
		;
	if (WARN_ON_ONCE(i > s->fill))
		return -EINVAL;
	count = entries(s, i);
	if (!dmr_table_replace(s->table[i], main, spare, sectors, flags))
		return -ENOSPC;
	__set_bit(i, s->dirty);
	WRITE_ONCE(s->extents, s->extents + entries(s, i) - count);
	dmr_store_count_room(s);
	return 0;
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
	int r = enough_copies(s);

	*lead = 0;
	while (!r && hweight8(*lead) < DMR_SAFE_COPIES) {
		u8 next = lowest(good_copies(s) & ~*lead, *lead ? 1 : half(s));

		r = write_wave(s, next, 0);
		if (!r)
			r = enough_copies(s);
		*lead = (*lead | next) & good_copies(s);
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
		r = publish(s, lead);
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
	else
		memset(s->super->peer_uuid, 0, DMR_UUID_SIZE);
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
	r = dmr_super_commit(s);
	if (r)
		write_wave(s, 0, DMR_ALL_COPIES);
	return r;
}

int dmr_store_count_repair(struct dmr_store *s)
{
	if (!dmr_store_writable(s))
		return -EIO;
	dmr_note_repair(s);
	return dmr_super_commit(s);
}

int dmr_store_count_scrub(struct dmr_store *s)
{
	if (!dmr_store_writable(s))
		return -EIO;
	s->super->scrubs = cpu_to_le64(le64_to_cpu(s->super->scrubs) + 1);
	return dmr_super_commit(s);
}
