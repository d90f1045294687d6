// SPDX-License-Identifier: GPL-2.0-only
/*
 * Table blocks that were not there before: of an empty set, and of a table that gets longer.
 */
#include <linux/device-mapper.h>
#include <linux/slab.h>

#include "store_io.h"

#define DM_MSG_PREFIX "remap"

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
		r = dmr_enough_copies(s);
	return r ? r : dmr_publish(s, DMR_ALL_COPIES);
}

/*
 * Make the table longer: the new, empty blocks are stable in every copy before a
 * superblock counts them. Until then nobody reads them, so no waves are needed.
 */
int dmr_store_extend(struct dmr_store *s)
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
	r = write_new_tables(s, old, generation, dmr_good_copies(s) | s->joining);
	if (!r)
		r = dmr_enough_copies(s);
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
