// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hostile metadata: five superblocks and five instances of one table block, made from
 * arbitrary bytes, go the way that a reader's blocks go. Whatever is called valid must keep
 * the promises that everybody else relies on.
 *
 * The first byte of the input says how the rest is used:
 *   bit 0  1: the rest is the first superblock and table block; the others are copies of these
 *          0: start from a good set; the rest is a list of changes (where, offset, up to 8 bytes)
 *   bit 1  put the magics right
 *   bit 2  put the checksums right, so that the rules behind them are reached
 *   bit 3  ask for one set by its UUID
 *   bit 4  the device is smaller than a good set's
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "vote.h"

#define SECTORS 65536
#define INDEX 1u /* of the table block */

static const __u8 uuid[DMR_UUID_SIZE] = "fuzz...........";

struct blocks {
	struct dmr_super super[DMR_COPIES];
	struct dmr_table table[DMR_COPIES];
};

static void make_good(struct blocks *b)
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
	struct dmr_layout l;
	int i;

	dmr_layout_init(&l, SECTORS);
	dmr_super_init(&b->super[0], &l, &n);
	b->super[0].table_blocks = cpu_to_le32(1);
	b->super[0].header.generation = cpu_to_le64(5);
	b->super[0].digest = cpu_to_le64(dmr_digest(INDEX, 4));
	dmr_seal(&b->super[0]);

	dmr_table_init(&b->table[0], uuid, INDEX, 4);
	dmr_table_insert(&b->table[0], 1000, 400, 16, 0);
	dmr_table_insert(&b->table[0], 2000, 500, 8, 0);
	dmr_seal(&b->table[0]);
	for (i = 1; i < DMR_COPIES; i++) {
		b->super[i] = b->super[0];
		b->table[i] = b->table[0];
	}
}

static void make_raw(struct blocks *b, const uint8_t *data, size_t size)
{
	size_t part = size < DMR_BLOCK_SIZE ? size : DMR_BLOCK_SIZE;
	int i;

	memset(b, 0, sizeof(*b));
	memcpy(&b->super[0], data, part);
	size -= part;
	memcpy(&b->table[0], data + part, size < DMR_BLOCK_SIZE ? size : DMR_BLOCK_SIZE);
	for (i = 1; i < DMR_COPIES; i++) {
		b->super[i] = b->super[0];
		b->table[i] = b->table[0];
	}
}

static void change(struct blocks *b, const uint8_t *data, size_t size)
{
	for (; size >= 11; data += 11, size -= 11) {
		/* Both arrays are of blocks, one behind the other. */
		char *block = (char *)b + data[0] % (2 * DMR_COPIES) * DMR_BLOCK_SIZE;
		size_t width = 1 + data[0] / (2 * DMR_COPIES) % 8;
		size_t offset = (data[1] | data[2] << 8) % (DMR_BLOCK_SIZE - 7);

		memcpy(block + offset, data + 3, width);
	}
}

static void check_super(const struct dmr_super *s, __u64 device)
{
	struct dmr_layout l;
	int i;

	assert(dmr_layout_init(&l, le64_to_cpu(s->spare_sectors)) == DMR_OK);
	assert(l.sectors <= device);
	assert(le32_to_cpu(s->table_blocks) && le32_to_cpu(s->table_blocks) <= l.table_capacity);
	for (i = 0; i < DMR_COPIES; i++) {
		assert(le64_to_cpu(s->copy_sector[i]) == l.copy_sector[i]);
		assert(dmr_block_sector(&l, i, le32_to_cpu(s->table_blocks)) + DMR_BLOCK_SECTORS <=
		       device);
	}
	assert(le64_to_cpu(s->length) && le64_to_cpu(s->length) <= DMR_MAX_SECTORS);
	assert(memchr(s->name, 0, sizeof(s->name)));
	assert(!s->name[0] || dmr_name_valid(s->name));
	assert(memchr(s->main.wwid, 0, sizeof(s->main.wwid)));
	assert(memchr(s->main.serial, 0, sizeof(s->main.serial)));
	assert(memchr(s->spare.ptuuid, 0, sizeof(s->spare.ptuuid)));
	assert(memchr(s->spare.fsuuid, 0, sizeof(s->spare.fsuuid)));
	assert(s->header.generation);
}

static bool extent_fits(const struct dmr_super *s, const struct dmr_entry *e)
{
	__u64 length = le64_to_cpu(s->length);
	__u64 main = le64_to_cpu(e->main);
	__u64 spare = le64_to_cpu(e->spare);
	__u32 sectors = le32_to_cpu(e->sectors);
	struct dmr_layout l;
	__u64 i;

	dmr_layout_init(&l, le64_to_cpu(s->spare_sectors));
	if (!sectors || main >= length || length - main < sectors || spare >= l.sectors ||
	    l.sectors - spare < sectors)
		return false;
	if (main % (le32_to_cpu(s->main_block) / 512) ||
	    sectors % (le32_to_cpu(s->main_block) / 512) ||
	    spare % (le32_to_cpu(s->spare_block) / 512))
		return false;
	/* Not dmr_is_data(), which is on trial here. */
	for (i = 0; i < DMR_COPIES; i++) {
		__u64 copy = l.copy_sector[i];

		if (spare < copy + dmr_copy_sectors(&l) && copy < spare + sectors)
			return false;
	}
	return true;
}

static void check_table(const struct dmr_table *t, const struct dmr_super *s)
{
	__u32 count = le32_to_cpu(t->header.count);
	__u32 i;

	assert(count <= DMR_BLOCK_ENTRIES);
	for (i = 0; i < count; i++) {
		assert(extent_fits(s, &t->entry[i]));
		assert(!i ||
		       le64_to_cpu(t->entry[i - 1].main) + le32_to_cpu(t->entry[i - 1].sectors) <=
			       le64_to_cpu(t->entry[i].main));
	}
}

/* An extent that fits and overlaps nothing leaves a valid block valid, wherever it goes. */
static void check_insert(const struct dmr_table *old, const struct dmr_super *s)
{
	__u64 last = old->header.generation >> 8;
	struct dmr_table t = *old;
	struct dmr_entry e = {
		.main = cpu_to_le64(last % le64_to_cpu(s->length)),
		.spare = cpu_to_le64(last % le64_to_cpu(s->spare_sectors)),
		.sectors = cpu_to_le32(8),
	};
	__u32 i;

	if (!extent_fits(s, &e))
		return;
	for (i = 0; i < le32_to_cpu(t.header.count); i++)
		if (dmr_entries_overlap(&t.entry[i], &e, true) ||
		    dmr_entries_overlap(&t.entry[i], &e, false))
			return;
	if (!dmr_table_insert(&t, le64_to_cpu(e.main), le64_to_cpu(e.spare), 8, 0)) {
		assert(le32_to_cpu(t.header.count) == DMR_BLOCK_ENTRIES);
		return;
	}
	dmr_seal(&t);
	assert(dmr_table_check(&t, s, INDEX) == DMR_OK);
	check_table(&t, s);
}

static int elect(const struct blocks *b, __u64 device, const __u8 *wanted)
{
	const struct dmr_super *super[DMR_COPIES];
	enum dmr_fault fault[DMR_COPIES];
	bool valid[DMR_COPIES];
	int winner, i;

	for (i = 0; i < DMR_COPIES; i++) {
		super[i] = &b->super[i];
		fault[i] = dmr_super_check(super[i], device);
		assert(dmr_fault_text(fault[i]));
		valid[i] = fault[i] == DMR_OK;
		if (valid[i])
			check_super(super[i], device);
	}
	winner = dmr_super_elect(super, fault, wanted);
	assert(winner >= -1 && winner < DMR_COPIES);
	if (winner < 0)
		return winner;
	assert(valid[winner] && fault[winner] == DMR_OK);
	assert(!wanted || !memcmp(super[winner]->header.uuid, wanted, DMR_UUID_SIZE));
	for (i = 0; i < DMR_COPIES; i++) {
		bool same_set =
			!memcmp(super[i]->header.uuid, super[winner]->header.uuid, DMR_UUID_SIZE);

		if (fault[i] == DMR_OK)
			assert(!memcmp(super[i], super[winner], DMR_BLOCK_SIZE));
		if (valid[i] && same_set)
			assert(le64_to_cpu(super[i]->header.generation) <=
			       le64_to_cpu(super[winner]->header.generation));
	}
	return winner;
}

static void count(const struct blocks *b, const struct dmr_super *s)
{
	struct dmr_tally tally;
	struct dmr_vote v;
	__u8 valid = 0;
	int kept = -1;
	int i;

	dmr_vote_init(&v);
	for (i = 0; i < DMR_COPIES; i++) {
		if (dmr_table_check(&b->table[i], s, INDEX) != DMR_OK)
			continue;
		check_table(&b->table[i], s);
		check_insert(&b->table[i], s);
		valid |= 1u << i;
		if (dmr_vote_add(&v, s, i, &b->table[i]))
			kept = i;
	}
	assert(v.valid == valid && (valid == 0) == (kept < 0));
	assert(!(v.holders & ~valid));
	if (kept >= 0) {
		assert(le64_to_cpu(b->table[kept].header.generation) == v.generation);
		assert(v.holders & 1u << kept);
		assert(v.previous < v.generation);
	}

	dmr_tally_init(&tally, s);
	dmr_tally_add(&tally, s, INDEX, &v);
	if (dmr_tally_verdict(&tally, s) != DMR_OK)
		return;
	assert(valid && !v.split);
	assert(tally.newest >= v.generation);
	assert(tally.newest >= le64_to_cpu(s->header.generation));
	if (v.generation <= le64_to_cpu(s->header.generation))
		assert(le64_to_cpu(s->digest) == dmr_digest(INDEX, v.generation));
	else
		assert(tally.tail && le64_to_cpu(s->digest) == dmr_digest(INDEX, v.previous));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct blocks b;
	uint8_t how;
	int winner, i;

	if (!size)
		return 0;
	how = data[0];
	if (how & 1) {
		make_raw(&b, data + 1, size - 1);
	} else {
		make_good(&b);
		change(&b, data + 1, size - 1);
	}
	for (i = 0; i < DMR_COPIES; i++) {
		if (how & 2) {
			b.super[i].header.magic = cpu_to_le64(DMR_MAGIC_SUPER);
			b.table[i].header.magic = cpu_to_le64(DMR_MAGIC_TABLE);
		}
		if (how & 4) {
			dmr_seal(&b.super[i]);
			dmr_seal(&b.table[i]);
		}
	}
	winner = elect(&b, how & 16 ? SECTORS - 1 : UINT64_MAX, how & 8 ? uuid : NULL);
	if (winner >= 0)
		count(&b, &b.super[winner]);
	return 0;
}
