// SPDX-License-Identifier: GPL-2.0-only
/*
 * A whole spare with hostile blocks on it is read, voted on, and mended where that is called for.
 *
 * The input is a list of changes to a good set with two extents: a byte that says which block of which
 * copy, and in bit 7 whether its checksum is put right afterwards, the offset, two bytes, and what goes
 * there, eight bytes; an offset past the block means that another copy's block goes there, or another block.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "blocks.h"
#include "copies.h"
#include "mend.h"

#define SECTORS DMR_MIN_SECTORS
#define CHANGE  11 /* bytes */

static const uint8_t uuid[DMR_UUID_SIZE] = "fuzz...........";

static struct {
	int fd;
	struct dmr_layout layout;
	uint32_t blocks; /* of each copy, superblock included */
	char *good; /* all copies, as they are put back each time */
} spare;

static void make_spare(void)
{
	struct dmr_new n = {
		.uuid = uuid,
		.spare_uuid = uuid,
		.name = "fuzz",
		.length = 1 << 20,
		.main_block = 512,
		.spare_block = 512,
		.generation = 1,
	};
	struct dmr_super s;
	struct dmr_table t;
	__u64 data = 0;

	spare.fd = memfd_create("spare", MFD_CLOEXEC);
	assert(spare.fd >= 0 && !ftruncate(spare.fd, SECTORS * DMR_SECTOR_SIZE));
	assert(dmr_layout_init(&spare.layout, SECTORS) == DMR_OK);
	dmr_super_init(&s, &spare.layout, &n);
	assert(!mend_format(spare.fd, &spare.layout, &s));
	spare.blocks = le32_to_cpu(s.table_blocks) + 1;
	assert(dmr_data_run(&spare.layout, 0, &data));
	for (int i = 0; i < DMR_COPIES; i++) {
		assert(block_read(spare.fd, dmr_block_sector(&spare.layout, i, 1), &t));
		dmr_table_insert(&t, 1000, data, 16, 0);
		dmr_table_insert(&t, 2000, data + 16, 8, 0);
		dmr_seal(&t);
		assert(block_write(spare.fd, dmr_block_sector(&spare.layout, i, 1), &t));
	}
	spare.good = malloc((size_t)DMR_COPIES * spare.blocks * DMR_BLOCK_SIZE);
	for (int i = 0; i < DMR_COPIES; i++) {
		for (uint32_t k = 0; k < spare.blocks; k++)
			assert(block_read(spare.fd, dmr_block_sector(&spare.layout, i, k),
					  spare.good + (i * spare.blocks + k) * DMR_BLOCK_SIZE));
	}
}

static uint64_t sector_of(unsigned int number)
{
	number %= DMR_COPIES * spare.blocks;
	return dmr_block_sector(&spare.layout, number / spare.blocks, number % spare.blocks);
}

static void restore(void)
{
	for (unsigned int i = 0; i < DMR_COPIES * spare.blocks; i++)
		assert(block_write(spare.fd, sector_of(i), spare.good + i * DMR_BLOCK_SIZE));
}

static void change(const uint8_t *c)
{
	size_t offset = c[1] | c[2] << 8;
	char block[DMR_BLOCK_SIZE];

	if (offset + 8 > DMR_BLOCK_SIZE) {
		assert(block_read(spare.fd, sector_of(c[3]), block));
	} else {
		assert(block_read(spare.fd, sector_of(c[0] & 0x7f), block));
		memcpy(block + offset, c + 3, 8);
	}
	if (c[0] & 0x80)
		dmr_seal(block);
	assert(block_write(spare.fd, sector_of(c[0] & 0x7f), block));
}

static void check(const struct copies *c)
{
	uint64_t end = 0;

	assert(dmr_fault_text(c->reason));
	if (c->verdict != VERDICT_CLEAN && c->verdict != VERDICT_REPAIRABLE)
		return;
	assert(copies_super(c));
	for (size_t i = 0; i < c->extents; i++) {
		const struct dmr_entry *e = &c->extent[i];

		assert(le64_to_cpu(e->main) >= end);
		end = le64_to_cpu(e->main) + le32_to_cpu(e->sectors);
		assert(end <= le64_to_cpu(copies_super(c)->length));
		assert(le64_to_cpu(e->spare) + le32_to_cpu(e->sectors) <= SECTORS);
	}
	for (uint32_t i = 1; i <= copies_table_blocks(c); i++)
		assert(c->current[i]);
}

/* What can be mended is whole afterwards, and leads to the same places. */
static void mend(struct copies *c)
{
	size_t extents = c->extents;
	struct dmr_entry *before = c->extent;
	struct mend_result r;
	int err;

	c->extent = NULL;
	err = mend_copies(c, NULL, 1, &r);
	copies_free(c);
	if (!err) {
		assert(!r.failed);
		assert(!copies_read(c, spare.fd, SECTORS, NULL));
		assert(c->verdict == VERDICT_CLEAN && c->extents == extents);
		for (size_t i = 0; i < extents; i++)
			assert(c->extent[i].main == before[i].main &&
			       c->extent[i].spare == before[i].spare);
	}
	free(before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct copies c;

	if (!spare.good)
		make_spare();
	restore();
	for (; size >= CHANGE; data += CHANGE, size -= CHANGE)
		change(data);
	assert(!copies_read(&c, spare.fd, SECTORS, NULL));
	check(&c);
	if (c.verdict == VERDICT_REPAIRABLE)
		mend(&c);
	copies_free(&c);
	return 0;
}
