// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "damage.h"
#include "truth.h"

#define MIB (1024 * 1024)

/* One instance of a block. */
struct instance {
	unsigned int copy;
	uint32_t index;
	uint64_t place; /* byte */
};

static struct instance instance_of(const struct image *i, unsigned int copy, uint32_t index)
{
	return (struct instance){copy, index, image_place(i, copy, index)};
}

/* Superblocks more often than their number says. */
static struct instance draw_instance(const struct image *i, uint64_t *random)
{
	unsigned int copy = random_next(random) % DMR_COPIES;
	uint32_t index = random_next(random) % 3 ? random_next(random) % i->history->blocks : 0;

	return instance_of(i, copy, index);
}

static void fill(char *to, size_t size, uint64_t *random)
{
	for (size_t at = 0; at < size; at++)
		to[at] = random_next(random);
}

/* An instance as it is now; zeroes where the device has ended. */
static void get(const struct image *i, const struct instance *at, char *block)
{
	memset(block, 0, DMR_BLOCK_SIZE);
	if (at->place + DMR_BLOCK_SIZE <= i->sectors * DMR_SECTOR_SIZE)
		memcpy(block, i->bytes + at->place, DMR_BLOCK_SIZE);
}

static void put(struct image *i, const struct instance *at, const char *block)
{
	image_write(i, at->place, block, DMR_BLOCK_SIZE);
}

static unsigned int draw_old(uint64_t *random)
{
	return random_next(random) % (VERSIONS - 1);
}

static void flip(char *block, uint64_t bit)
{
	block[bit / 8] ^= 1 << bit % 8;
}

static void flip_bits(struct image *i, unsigned int count, uint64_t *random)
{
	struct instance at = draw_instance(i, random);
	char block[DMR_BLOCK_SIZE];

	get(i, &at, block);
	while (count--)
		flip(block, random_next(random) % (DMR_BLOCK_SIZE * 8));
	put(i, &at, block);
}

static void flipped_bit(struct image *i, const struct history *other, uint64_t *random)
{
	(void)other;
	flip_bits(i, 1, random);
}

static void flipped_bits(struct image *i, const struct history *other, uint64_t *random)
{
	(void)other;
	flip_bits(i, 2 + random_next(random) % 63, random);
}

static void zeroed_block(struct image *i, const struct history *other, uint64_t *random)
{
	struct instance at = draw_instance(i, random);

	(void)other;
	image_write(i, at.place, NULL, DMR_BLOCK_SIZE);
}

static void random_block(struct image *i, const struct history *other, uint64_t *random)
{
	struct instance at = draw_instance(i, random);
	char block[DMR_BLOCK_SIZE];

	(void)other;
	fill(block, sizeof(block), random);
	put(i, &at, block);
}

/* Bytes of one block, or of several that follow each other. */
static void random_range(struct image *i, const struct history *other, uint64_t *random)
{
	struct instance at = draw_instance(i, random);
	char bytes[3 * DMR_BLOCK_SIZE];
	size_t length = 1 + random_next(random) % sizeof(bytes);

	(void)other;
	fill(bytes, length, random);
	image_write(i, at.place + random_next(random) % DMR_BLOCK_SIZE, bytes, length);
}

static void zeroed_range(struct image *i, const struct history *other, uint64_t *random)
{
	struct instance at = draw_instance(i, random);

	(void)other;
	image_write(i, at.place + random_next(random) % DMR_BLOCK_SIZE, NULL,
		    1 + random_next(random) % (3 * DMR_BLOCK_SIZE));
}

static void stale_block(struct image *i, const struct history *other, uint64_t *random)
{
	struct instance at = draw_instance(i, random);

	(void)other;
	put(i, &at, history_block(i->history, draw_old(random), at.index));
}

/* Some of its sectors are of an older version, or not there at all. */
static void torn_block(struct image *i, const struct history *other, uint64_t *random)
{
	struct instance at = draw_instance(i, random);
	const char *old = history_block(i->history, draw_old(random), at.index);
	uint64_t which = random_next(random);

	(void)other;
	for (unsigned int s = 0; s < DMR_BLOCK_SECTORS; s++)
		if (which & 1 << s)
			image_write(i, at.place + s * DMR_SECTOR_SIZE,
				    which & 1 << 16 ? old + s * DMR_SECTOR_SIZE : NULL,
				    DMR_SECTOR_SIZE);
}

static void copy_of(struct image *i, const char *blocks, uint64_t *random)
{
	image_write(i, image_place(i, random_next(random) % DMR_COPIES, 0), blocks,
		    (uint64_t)i->history->blocks * DMR_BLOCK_SIZE);
}

static void stale_copy(struct image *i, const struct history *other, uint64_t *random)
{
	(void)other;
	copy_of(i, i->history->version[draw_old(random)], random);
}

static void foreign_copy(struct image *i, const struct history *other, uint64_t *random)
{
	copy_of(i, other->version[VERSIONS - 1 - random_next(random) % 2], random);
}

static void foreign_block(struct image *i, const struct history *other, uint64_t *random)
{
	struct instance at = draw_instance(i, random);

	put(i, &at, history_current(other, at.index));
}

static void lost_copy(struct image *i, const struct history *other, uint64_t *random)
{
	(void)other;
	image_write(i, image_place(i, random_next(random) % DMR_COPIES, 0), NULL,
		    (uint64_t)i->history->blocks * DMR_BLOCK_SIZE);
}

static void swap(struct image *i, const struct instance *a, const struct instance *b)
{
	char kept[DMR_BLOCK_SIZE], moved[DMR_BLOCK_SIZE];

	get(i, a, kept);
	get(i, b, moved);
	put(i, a, moved);
	put(i, b, kept);
}

static void swapped_in_copy(struct image *i, const struct history *other, uint64_t *random)
{
	struct instance a = draw_instance(i, random), b = draw_instance(i, random);

	(void)other;
	b = instance_of(i, a.copy, b.index);
	swap(i, &a, &b);
}

static void swapped_between_copies(struct image *i, const struct history *other, uint64_t *random)
{
	struct instance a = draw_instance(i, random), b = draw_instance(i, random);

	(void)other;
	swap(i, &a, &b);
}

/* One of all instances that there are of a block goes back to a version before. */
static void lost_newest(struct image *i, const struct history *other, uint64_t *random)
{
	struct instance at = draw_instance(i, random);
	unsigned int old = draw_old(random);

	(void)other;
	for (unsigned int copy = 0; copy < DMR_COPIES; copy++) {
		at = instance_of(i, copy, at.index);
		put(i, &at, history_block(i->history, old, at.index));
	}
}

/* Says that it is of another commit; the checksum knows better. */
static void wrong_generation(struct image *i, const struct history *other, uint64_t *random)
{
	struct instance at = draw_instance(i, random);
	struct dmr_table t;

	(void)other;
	get(i, &at, (char *)&t);
	t.header.generation =
		cpu_to_le64(le64_to_cpu(t.header.generation) + 1 + random_next(random) % 1000);
	put(i, &at, (char *)&t);
}

/* A superblock that says what cannot be, of a later commit, with a checksum that fits. */
static void impossible_super(struct dmr_super *s, uint64_t *random)
{
	switch (random_next(random) % 8) {
	case 0:
		s->header.index = cpu_to_le32(1);
		break;
	case 1:
		s->length = 0;
		break;
	case 2:
		s->copy_sector[random_next(random) % DMR_COPIES] = cpu_to_le64(random_next(random));
		break;
	case 3:
		s->table_blocks = cpu_to_le32(le32_to_cpu(s->table_capacity) + 1);
		break;
	case 4:
		s->main_block = cpu_to_le32(513);
		break;
	case 5:
		s->reserved[random_next(random) % sizeof(s->reserved)] = 1;
		break;
	case 6:
		strcpy(s->name, "a/b");
		break;
	default:
		s->state = cpu_to_le32(4 + random_next(random) % 1000);
	}
}

/* The like of a table block: but for one thing its two extents would be good. */
static void impossible_table(struct dmr_table *t, const struct dmr_layout *l, uint64_t *random)
{
	struct dmr_entry *e = t->entry;
	__u64 spare = 0;

	dmr_data_run(l, 0, &spare);
	memset(t->entry, 0, sizeof(t->entry));
	t->header.count = cpu_to_le32(2);
	e[0] = (struct dmr_entry){.spare = cpu_to_le64(spare), .sectors = cpu_to_le32(1)};
	e[1] = (struct dmr_entry){
		.main = cpu_to_le64(1), .spare = cpu_to_le64(spare + 2), .sectors = cpu_to_le32(1)};
	switch (random_next(random) % 9) {
	case 0:
		t->header.count = cpu_to_le32(DMR_BLOCK_ENTRIES + 1 + random_next(random) % 1000);
		break;
	case 1:
		t->header.count = cpu_to_le32(1);
		break;
	case 2:
		e[1].main = cpu_to_le64(random_next(random) | 1ULL << 40);
		break;
	case 3:
		e[0].sectors = cpu_to_le32(2); /* overlaps the next one on main */
		break;
	case 4:
		e[1].sectors = 0;
		break;
	case 5:
		e[1].flags = cpu_to_le32(2 + random_next(random) % 1000);
		break;
	case 6:
		e[1].spare = cpu_to_le64(random_next(random) % spare); /* in the first copy */
		break;
	case 7:
		e[1].spare = cpu_to_le64(l->sectors + random_next(random) % 1000);
		break;
	default:
		t->header.index = cpu_to_le32(1000000); /* there is none, wherever it gets */
	}
}

static void nonsense(struct image *i, const struct history *other, uint64_t *random)
{
	struct instance at = draw_instance(i, random);
	union {
		struct dmr_super super;
		struct dmr_table table;
	} block;

	(void)other;
	memcpy(&block, history_current(i->history, at.index), sizeof(block));
	block.table.header.previous = block.table.header.generation;
	block.table.header.generation = cpu_to_le64(le64_to_cpu(block.table.header.generation) + 1);
	if (at.index)
		impossible_table(&block.table, &i->history->layout, random);
	else
		impossible_super(&block.super, random);
	dmr_seal(&block);
	put(i, &at, (char *)&block);
}

/* What no commit writes: a block of the next one that claims what another block has. */
static void overlap(struct image *i, const struct history *other, uint64_t *random)
{
	struct instance at = draw_instance(i, random);

	(void)other;
	if (!at.index)
		at = instance_of(i, at.copy, 1);
	i->impossible = true;
	put(i, &at, history_block(i->history, VERSIONS, at.index));
}

/* Of the same generation as the current one, and different. */
static void twin(struct image *i, const struct history *other, uint64_t *random)
{
	struct instance at = draw_instance(i, random);
	const char *block = history_twin(i->history, at.index);

	(void)other;
	if (block)
		put(i, &at, block);
}

/* What an earlier set, or a superblock that is gone, has left behind the table. */
static void behind(struct image *i, const struct history *other, uint64_t *random)
{
	struct instance at = instance_of(i, random_next(random) % DMR_COPIES, i->history->blocks);

	(void)other;
	if (history_has_behind(i->history))
		put(i, &at, (const char *)&i->history->behind[random_next(random) % 2]);
}

static void truncated(struct image *i, const struct history *other, uint64_t *random)
{
	(void)other;
	image_resize(i, i->sectors - 1 - random_next(random) % (i->sectors - 1));
}

static void grown(struct image *i, const struct history *other, uint64_t *random)
{
	uint64_t most = IMAGE_MOST(i->history->layout.sectors);

	(void)other;
	if (i->sectors < most)
		image_resize(i, i->sectors + 1 + random_next(random) % (most - i->sectors));
}

/* As fdisk or parted leave it: an MBR, or a GPT at both ends. */
static void partition_table(struct image *i, const struct history *other, uint64_t *random)
{
	char sectors[34 * DMR_SECTOR_SIZE] = {0};

	(void)other;
	memcpy(sectors + 510, "\x55\xaa", 2);
	fill(sectors + 446, 16, random);
	if (random_next(random) % 2) {
		image_write(i, 0, sectors, DMR_SECTOR_SIZE);
		return;
	}
	memcpy(sectors + DMR_SECTOR_SIZE, "EFI PART", 8);
	fill(sectors + 2 * DMR_SECTOR_SIZE, 128, random);
	image_write(i, 0, sectors, sizeof(sectors));
	if (i->sectors > 33)
		image_write(i, (i->sectors - 33) * DMR_SECTOR_SIZE, sectors + DMR_SECTOR_SIZE,
			    33 * DMR_SECTOR_SIZE);
}

/* As mkfs leaves it: something at the start, and here and there more. */
static void file_system(struct image *i, const struct history *other, uint64_t *random)
{
	static char blocks[16 * DMR_BLOCK_SIZE];
	uint64_t size = i->sectors * DMR_SECTOR_SIZE;

	(void)other;
	fill(blocks, 2 * DMR_BLOCK_SIZE, random);
	image_write(i, 1024, blocks, 1024);
	image_write(i, DMR_BLOCK_SIZE, blocks, sizeof(blocks));
	for (unsigned int n = 1; n < 4; n++)
		image_write(i, size / 4 * n / DMR_BLOCK_SIZE * DMR_BLOCK_SIZE, blocks,
			    (1 + random_next(random) % 16) * DMR_BLOCK_SIZE);
}

static void wiped_ends(struct image *i, const struct history *other, uint64_t *random)
{
	uint64_t size = i->sectors * DMR_SECTOR_SIZE, length = 10 * MIB;

	(void)other;
	/* of a small one as much as leaves its middle */
	if (length > size / 4)
		length = random_next(random) % (size / 4);
	image_write(i, 0, NULL, length);
	image_write(i, size - length, NULL, length);
}

const struct damage catalogue[] = {
	{"flipped bit", 8, flipped_bit},
	{"flipped bits", 8, flipped_bits},
	{"zeroed block", 8, zeroed_block},
	{"zeroed range", 8, zeroed_range},
	{"random block", 8, random_block},
	{"random range", 8, random_range},
	{"torn block", 8, torn_block},
	{"stale block", 8, stale_block},
	{"stale copy", 6, stale_copy},
	{"lost copy", 6, lost_copy},
	{"block of another set", 6, foreign_block},
	{"copy of another set", 4, foreign_copy},
	{"blocks swapped within a copy", 4, swapped_in_copy},
	{"blocks swapped between copies", 4, swapped_between_copies},
	{"wrong generation", 6, wrong_generation},
	{"checksummed nonsense", 8, nonsense},
	{"overlapping extents", 1, overlap},
	{"lost newest version", 1, lost_newest},
	{"twin of the current block", 2, twin},
	{"block behind the table", 1, behind},
	{"truncated device", 1, truncated},
	{"grown device", 1, grown},
	{"partition table", 2, partition_table},
	{"file system", 1, file_system},
	{"wiped ends", 2, wiped_ends},
};

const unsigned int catalogue_size = sizeof(catalogue) / sizeof(*catalogue);

const struct damage *damage_draw(uint64_t *random)
{
	unsigned int sum = 0, n = 0, at;

	for (unsigned int k = 0; k < catalogue_size; k++)
		sum += catalogue[k].weight;
	at = random_next(random) % sum;
	while (at >= catalogue[n].weight)
		at -= catalogue[n++].weight;
	return &catalogue[n];
}
