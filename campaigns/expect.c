// SPDX-License-Identifier: GPL-2.0-only
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"

#define ALL_COPIES ((1u << DMR_COPIES) - 1)

static const struct dmr_header *header(const struct history *h, int version, uint32_t index)
{
	return (const struct dmr_header *)history_block(h, version, index);
}

/* Copies that the superblock which stands says were not written any more. */
static uint32_t failed(const struct expectation *e, const struct history *h)
{
	return e->winner[0] >= (int)h->since ? h->failed : 0;
}

/* The newest instance in some of the copies. */
static int newest(const struct expectation *e, uint32_t index, uint32_t copies)
{
	int version = -1;

	for (unsigned int copy = 0; copy < DMR_COPIES; copy++)
		if (copies & 1u << copy && e->instance[copy][index] > version)
			version = e->instance[copy][index];
	return version;
}

static uint32_t twins(const struct history *h, const struct image *i, uint32_t index)
{
	uint32_t copies = 0;

	for (unsigned int copy = 0; copy < DMR_COPIES; copy++)
		copies |= (uint32_t)image_has_twin(i, h, copy, index) << copy;
	return copies;
}

/*
 * A twin of what wins splits its block. Where it alone is left of its generation nobody can tell that it is one.
 * What is in a copy that is given up has no say where there is anything else.
 */
static void look_for_twin(struct expectation *e, const struct history *h, const struct image *i,
			  uint32_t index)
{
	uint32_t copies = twins(h, i, index), voters = ALL_COPIES & ~failed(e, h);
	int version = newest(e, index, voters);

	if (!(copies & voters) && version < (index ? 0 : VERSIONS - 1)) {
		voters = ALL_COPIES;
		version = newest(e, index, voters);
	}
	if (!(copies & voters))
		return;
	e->split |= version == VERSIONS - 1;
	e->unknown |= version < VERSIONS - 1;
}

static void look(struct expectation *e, const struct history *h, const struct image *i)
{
	for (uint32_t index = 0; index < h->blocks; index++) {
		uint32_t good;

		for (unsigned int copy = 0; copy < DMR_COPIES; copy++)
			e->instance[copy][index] = image_version(i, h, copy, index);
		good = index ? ALL_COPIES & ~failed(e, h) : ALL_COPIES;
		e->winner[index] = newest(e, index, good);
		if (e->winner[index] < 0)
			e->winner[index] = newest(e, index, ALL_COPIES);
		look_for_twin(e, h, i, index);
	}
}

/* True if @version of a block belongs to the table that a superblock counts, or is the next one. */
static bool belongs(const struct history *h, uint32_t index, int version, int super)
{
	const struct dmr_header *block = header(h, version, index);
	uint64_t then = le64_to_cpu(header(h, super, index)->generation);

	if (le64_to_cpu(block->generation) > le64_to_cpu(header(h, super, 0)->generation))
		return le64_to_cpu(block->previous) == then;
	return le64_to_cpu(block->generation) == then;
}

static bool is_current(const struct expectation *e, const struct history *h)
{
	for (uint32_t index = 0; index < h->blocks; index++)
		if (e->winner[index] != VERSIONS - 1)
			return false;
	return true;
}

static bool is_unknown(const struct expectation *e, const struct history *h)
{
	bool impossible = false, old = false;

	for (uint32_t index = 1; index < h->blocks; index++) {
		impossible |= e->winner[index] == VERSIONS;
		old |= e->winner[index] < VERSIONS - 1;
	}
	return impossible && old;
}

static bool is_one_table(const struct expectation *e, const struct history *h)
{
	for (uint32_t index = 0; index < h->blocks; index++)
		if (e->winner[index] < 0 || e->winner[index] == VERSIONS ||
		    (index && !belongs(h, index, e->winner[index], e->winner[0])))
			return false;
	return true;
}

/* What is missing or old somewhere, or newer than the superblock. */
static bool is_damaged(const struct expectation *e, const struct history *h)
{
	uint64_t super = le64_to_cpu(header(h, e->winner[0], 0)->generation);
	bool damaged = failed(e, h);

	for (uint32_t index = 0; index < h->blocks; index++) {
		const struct dmr_header *winner = header(h, e->winner[index], index);

		damaged |= le64_to_cpu(winner->generation) > super;
		for (unsigned int copy = 0; copy < DMR_COPIES; copy++)
			damaged |= e->instance[copy][index] != e->winner[index];
	}
	return damaged;
}

void expect(struct expectation *e, const struct history *h, const struct image *i)
{
	if (h->blocks > MAX_BLOCKS)
		errx(2, "more than %d blocks", MAX_BLOCKS);
	*e = (struct expectation){.verdict = VERDICT_LOST};
	look(e, h, i);
	e->current = is_current(e, h);
	e->unknown |= is_unknown(e, h);
	/* Where its copies are is known by the size, or by the first of them. */
	e->may_be_lost = i->sectors > h->layout.sectors && e->instance[0][0] < 0;
	if (i->sectors < h->layout.sectors || e->split || image_has_more(i, h) ||
	    !is_one_table(e, h))
		return;
	for (uint32_t index = 1; index < h->blocks; index++)
		for (unsigned int copy = 0; copy < DMR_COPIES; copy++)
			e->bad_tables += e->instance[copy][index] != e->winner[index];
	e->verdict = is_damaged(e, h) ? VERDICT_REPAIRABLE : VERDICT_CLEAN;
}

static int by_main(const void *a, const void *b)
{
	uint64_t x = le64_to_cpu(((const struct dmr_entry *)a)->main);
	uint64_t y = le64_to_cpu(((const struct dmr_entry *)b)->main);

	return x < y ? -1 : x > y;
}

bool expect_table(const struct expectation *e, const struct history *h, const struct copies *c)
{
	struct dmr_entry *all = malloc(h->blocks * DMR_BLOCK_ENTRIES * sizeof(*all));
	size_t count = 0;
	bool same;

	if (!all)
		err(2, "memory");
	for (uint32_t index = 1; index < h->blocks; index++) {
		const struct dmr_table *t = (const void *)history_block(h, e->winner[index], index);

		memcpy(all + count, t->entry, le32_to_cpu(t->header.count) * sizeof(*all));
		count += le32_to_cpu(t->header.count);
	}
	qsort(all, count, sizeof(*all), by_main);
	same = count == c->extents && (!count || !memcmp(all, c->extent, count * sizeof(*all)));
	free(all);
	return same;
}
