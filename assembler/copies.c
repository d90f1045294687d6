// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "blocks.h"
#include "copies.h"

#define RUN_BLOCKS 64 /* table blocks read at once from each copy */

const struct dmr_super *copies_super(const struct copies *c)
{
	return c->elected < 0 ? NULL : &c->super[c->elected];
}

uint32_t copies_table_blocks(const struct copies *c)
{
	return c->elected < 0 ? 0 : le32_to_cpu(copies_super(c)->table_blocks);
}

unsigned int copies_valid(const struct copies *c)
{
	unsigned int valid = 0;

	if (c->verdict != VERDICT_CLEAN && c->verdict != VERDICT_REPAIRABLE)
		return 0;
	for (int i = 0; i < DMR_COPIES; i++)
		valid += !c->bad_blocks[i];
	return valid;
}

bool copies_newer_format(const struct copies *c)
{
	for (int i = 0; i < DMR_COPIES; i++) {
		if (c->fault[i] == DMR_BAD_FEATURE)
			return true;
	}
	return false;
}

bool copies_lost_start(const struct copies *c)
{
	return c->fault[0] != DMR_OK && c->fault[0] != DMR_STALE && c->fault[0] != DMR_SPLIT;
}

const char *verdict_text(enum verdict verdict)
{
	static const char *const text[] = {"none", "clean", "repairable", "lost"};

	return text[verdict];
}

/* Read the superblocks of @c->layout. Returns how many valid ones record just this layout. */
static unsigned int read_places(struct copies *c)
{
	unsigned int fitting = 0;

	for (int i = 0; i < DMR_COPIES; i++) {
		struct dmr_super *s = &c->super[i];

		if (block_read(c->fd, dmr_block_sector(&c->layout, i, 0), s))
			c->fault[i] = dmr_super_check(s, c->sectors);
		else
			c->fault[i] = DMR_UNREADABLE;
		fitting +=
			c->fault[i] == DMR_OK && le64_to_cpu(s->spare_sectors) == c->layout.sectors;
	}
	return fitting;
}

static bool is_new(const uint64_t *known, int count, uint64_t size)
{
	for (int i = 0; i < count; i++) {
		if (known[i] == size)
			return false;
	}
	return true;
}

/*
 * Copies lie where the size of the device says, unless it was enlarged, or copied to a bigger
 * one, since: then a superblock that still lies at a place of the present size (copy 0 always
 * does) tells the size they were made for, also if a power cut tore it. The size with most
 * superblocks to its name stands.
 */
static void find_layout(struct copies *c)
{
	uint64_t size[DMR_COPIES + 1] = {c->sectors};
	unsigned int fitting, most = 0;
	struct dmr_layout best;
	int sizes = 1;

	dmr_layout_init(&best, c->sectors);
	for (int n = 0; n < sizes; n++) {
		if (dmr_layout_init(&c->layout, size[n]) != DMR_OK)
			continue;
		fitting = read_places(c);
		if (fitting > most) {
			most = fitting;
			best = c->layout;
		}
		for (int i = 0; n == 0 && i < DMR_COPIES; i++) {
			uint64_t hint =
				c->fault[i] == DMR_UNREADABLE ? 0 : dmr_super_hint(&c->super[i]);

			if (hint && is_new(size, sizes, hint))
				size[sizes++] = hint;
		}
	}
	if (c->layout.sectors == best.sectors)
		return;
	c->layout = best;
	read_places(c);
}

/* A valid superblock that records another layout lies where it doesn't belong. */
static void refuse_misplaced(struct copies *c)
{
	for (int i = 0; i < DMR_COPIES; i++) {
		if (c->fault[i] == DMR_OK &&
		    le64_to_cpu(c->super[i].spare_sectors) != c->layout.sectors)
			c->fault[i] = DMR_BAD_GEOMETRY;
	}
}

/* Without any superblock, the first table blocks still tell a destroyed set from a device that never was one. */
static bool find_remains(struct copies *c)
{
	struct dmr_table *t = blocks_alloc(1);
	bool found = false;

	for (int i = 0; t && !found && i < DMR_COPIES; i++) {
		if (!block_read(c->fd, dmr_block_sector(&c->layout, i, 1), t) ||
		    le64_to_cpu(t->header.magic) != DMR_MAGIC_TABLE)
			continue;
		memcpy(c->uuid, t->header.uuid, DMR_UUID_SIZE);
		found = true;
	}
	free(t);
	return found;
}

/* Nothing was elected: say whether there ever was a set here, and the most telling reason. */
static void judge_unelected(struct copies *c)
{
	unsigned int unreadable = 0;

	c->verdict = VERDICT_NONE;
	c->reason = DMR_EMPTY;
	for (int i = 0; i < DMR_COPIES; i++) {
		unreadable += c->fault[i] == DMR_UNREADABLE;
		if (c->fault[i] == DMR_EMPTY || c->fault[i] == DMR_BAD_MAGIC ||
		    c->fault[i] == DMR_UNREADABLE)
			continue;
		if (c->verdict == VERDICT_NONE || c->fault[i] == DMR_BAD_FEATURE ||
		    c->fault[i] == DMR_SPLIT || c->fault[i] == DMR_TRUNCATED)
			c->reason = c->fault[i];
		c->verdict = VERDICT_LOST;
		memcpy(c->uuid, c->super[i].header.uuid, DMR_UUID_SIZE);
	}
	/* the checksummed part of a table block is more to be trusted than a broken superblock's UUID */
	if (find_remains(c) && c->verdict == VERDICT_NONE) {
		c->verdict = VERDICT_LOST;
		c->reason = DMR_LOST;
	}
	if (unreadable == DMR_COPIES)
		c->reason = DMR_UNREADABLE;
}

int copies_read_super(struct copies *c, int fd, uint64_t sectors, const uint8_t *uuid)
{
	const struct dmr_super *s[DMR_COPIES];

	memset(c, 0, sizeof(*c));
	c->fd = fd;
	c->sectors = sectors;
	c->elected = -1;
	c->super = blocks_alloc(DMR_COPIES);
	if (!c->super)
		return -ENOMEM;
	if (dmr_layout_init(&c->layout, sectors) != DMR_OK) {
		for (int k = 0; k < DMR_COPIES; k++)
			c->fault[k] = DMR_TOO_SMALL;
		c->reason = DMR_TOO_SMALL;
		return 0;
	}
	find_layout(c);
	refuse_misplaced(c);
	for (int i = 0; i < DMR_COPIES; i++)
		s[i] = &c->super[i];
	c->elected = dmr_super_elect(s, c->fault, uuid);
	for (int k = 0; k < DMR_COPIES; k++)
		c->bad_blocks[k] = c->fault[k] != DMR_OK;
	if (c->elected < 0) {
		judge_unelected(c);
		return 0;
	}
	memcpy(c->uuid, copies_super(c)->header.uuid, DMR_UUID_SIZE);
	c->verdict = VERDICT_REPAIRABLE;
	if (copies_newer_format(c)) {
		c->verdict = VERDICT_LOST;
		c->reason = DMR_BAD_FEATURE;
	}
	return 0;
}

static int keep_extents(struct copies *c, size_t *room, const struct dmr_table *t)
{
	size_t count = le32_to_cpu(t->header.count);
	struct dmr_entry *more;

	if (!count)
		return 0;
	if (c->extents + count > *room) {
		*room = (*room + DMR_BLOCK_ENTRIES) * 2;
		more = realloc(c->extent, *room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		c->extent = more;
	}
	memcpy(c->extent + c->extents, t->entry, count * sizeof(*t->entry));
	c->extents += count;
	return 0;
}

/* One run of table blocks, of all copies side by side. */
struct run {
	struct dmr_table *table[DMR_COPIES];
	bool readable[DMR_COPIES][RUN_BLOCKS];
};

/* Vote on block @index, which is number @i of the run. */
static int vote(struct copies *c, const struct run *run, uint32_t i, uint32_t index, size_t *room)
{
	const struct dmr_super *s = copies_super(c);
	const struct dmr_table *best = NULL;
	struct dmr_vote v;

	dmr_vote_init(&v);
	for (int k = 0; k < DMR_COPIES; k++) {
		const struct dmr_table *t = &run->table[k][i];
		enum dmr_fault fault = DMR_UNREADABLE;

		if (run->readable[k][i])
			fault = dmr_table_check(t, s, index);
		if (fault == DMR_OK && dmr_vote_add(&v, s, k, t))
			best = t;
		if (fault != DMR_OK && c->reason == DMR_OK)
			c->reason = fault;
	}
	dmr_tally_add(&c->tally, s, index, &v);
	c->current[index] = v.holders;
	for (int k = 0; k < DMR_COPIES; k++)
		c->bad_blocks[k] += !(v.holders & 1u << k);
	return best ? keep_extents(c, room, best) : 0;
}

/* What was written behind the end of the table, if there is room. */
static void look_behind(struct copies *c, struct dmr_table *t)
{
	uint32_t blocks = copies_table_blocks(c);

	for (int k = 0; k < DMR_COPIES && blocks < c->layout.table_capacity; k++) {
		if (block_read(c->fd, dmr_block_sector(&c->layout, k, blocks + 1), t))
			dmr_tally_behind(&c->tally, copies_super(c), t);
	}
}

static int vote_on_table(struct copies *c)
{
	uint32_t blocks = copies_table_blocks(c);
	uint32_t most = blocks < RUN_BLOCKS ? blocks : RUN_BLOCKS;
	struct run run = {0};
	size_t room = 0;
	bool any = true;
	int err = -ENOMEM;

	for (int k = 0; k < DMR_COPIES; k++) {
		run.table[k] = blocks_alloc(most);
		if (!run.table[k])
			goto out;
	}
	err = 0;
	/* How long it is a field claims: where nothing is left there is no more to be read. */
	for (uint32_t first = 1; !err && any && first <= blocks; first += most) {
		uint32_t n = blocks - first + 1 < most ? blocks - first + 1 : most;

		for (int k = 0; k < DMR_COPIES; k++)
			blocks_read(c->fd, dmr_block_sector(&c->layout, k, first), n, run.table[k],
				    run.readable[k]);
		any = false;
		for (uint32_t i = 0; !err && i < n; i++) {
			err = vote(c, &run, i, first + i, &room);
			any |= c->current[first + i] != 0;
		}
	}
	look_behind(c, run.table[0]);
out:
	for (int k = 0; k < DMR_COPIES; k++)
		free(run.table[k]);
	return err;
}

static int by_main(const void *a, const void *b)
{
	uint64_t x = le64_to_cpu(((const struct dmr_entry *)a)->main);
	uint64_t y = le64_to_cpu(((const struct dmr_entry *)b)->main);

	return x < y ? -1 : x > y;
}

static int by_spare(const void *a, const void *b)
{
	uint64_t x = le64_to_cpu(((const struct dmr_entry *)a)->spare);
	uint64_t y = le64_to_cpu(((const struct dmr_entry *)b)->spare);

	return x < y ? -1 : x > y;
}

static bool neighbours_overlap(const struct copies *c, bool on_main)
{
	for (size_t i = 1; i < c->extents; i++) {
		if (dmr_entries_overlap(&c->extent[i - 1], &c->extent[i], on_main))
			return true;
	}
	return false;
}

/* Check extents of different blocks against each other; they are left sorted by main. */
static enum dmr_fault check_overlaps(struct copies *c)
{
	bool spare_overlaps;

	if (!c->extents)
		return DMR_OK;
	qsort(c->extent, c->extents, sizeof(*c->extent), by_spare);
	spare_overlaps = neighbours_overlap(c, false);
	qsort(c->extent, c->extents, sizeof(*c->extent), by_main);
	if (neighbours_overlap(c, true))
		return DMR_OVERLAP_MAIN;
	return spare_overlaps ? DMR_OVERLAP_SPARE : DMR_OK;
}

static void judge(struct copies *c)
{
	const struct dmr_super *s = copies_super(c);
	enum dmr_fault fault = dmr_tally_verdict(&c->tally, s);
	bool damaged = c->tally.tail || s->failed_copies;

	if (fault == DMR_OK)
		fault = check_overlaps(c);
	if (fault != DMR_OK) {
		c->verdict = VERDICT_LOST;
		c->reason = fault;
		return;
	}
	for (int k = 0; k < DMR_COPIES; k++)
		damaged |= c->bad_blocks[k] != 0;
	c->verdict = damaged ? VERDICT_REPAIRABLE : VERDICT_CLEAN;
	if (damaged && c->reason == DMR_OK)
		c->reason = DMR_STALE;
}

int copies_read(struct copies *c, int fd, uint64_t sectors, const uint8_t *uuid)
{
	int err = copies_read_super(c, fd, sectors, uuid);

	if (err || c->verdict != VERDICT_REPAIRABLE)
		return err;
	for (int k = 0; k < DMR_COPIES; k++) {
		if (c->fault[k] != DMR_OK && c->reason == DMR_OK)
			c->reason = c->fault[k];
	}
	c->current = calloc((size_t)copies_table_blocks(c) + 1, 1);
	if (!c->current)
		return -ENOMEM;
	dmr_tally_init(&c->tally, copies_super(c));
	err = vote_on_table(c);
	if (!err)
		judge(c);
	return err;
}

void copies_free(struct copies *c)
{
	free(c->super);
	free(c->current);
	free(c->extent);
	memset(c, 0, sizeof(*c));
	c->elected = -1;
}
