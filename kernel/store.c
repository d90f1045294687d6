// SPDX-License-Identifier: GPL-2.0-only
#include <linux/align.h>
#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "store_io.h"

/* Bios kept back for metadata, so that a commit gets on when memory is short. */
#define RESERVED_BIOS 16

/*
 * Entries that new remaps fill a table block with. The rest is for those that are cut when a place
 * on the spare goes bad and a part of them moves on.
 */
#define FILL_ENTRIES (DMR_BLOCK_ENTRIES - 8)

int dmr_store_init(struct dmr_store *s, struct block_device *bdev, struct dmr_flushes *flushes,
		   u8 shares)
{
	int r;

	memset(s, 0, sizeof(*s));
	s->bdev = bdev;
	s->flushes = flushes;
	s->shares = shares;
	if (dmr_layout_init(&s->layout, bdev_nr_sectors(bdev)) != DMR_OK)
		return -EINVAL;
	r = bioset_init(&s->bios, RESERVED_BIOS, 0, BIOSET_NEED_BVECS);
	if (r)
		return r;
	s->super = dmr_block_alloc();
	s->end = dmr_block_alloc();
	s->theirs = dmr_block_alloc();
	return s->super && s->end && s->theirs ? 0 : -ENOMEM;
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
	dmr_block_free(s->theirs);
	bioset_exit(&s->bios);
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

int dmr_store_begin(struct dmr_store *s)
{
	int r = dmr_store_check(s);

	return r || !bitmap_empty(s->dirty, s->tables) ? r : dmr_store_is_ours(s);
}

int dmr_store_reserve(struct dmr_store *s)
{
	int r = dmr_store_begin(s);

	if (r)
		return r;
	if (!is_full(s) || s->fill + 1 < s->tables)
		return 0;
	return dmr_store_extend(s);
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
