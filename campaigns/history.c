// SPDX-License-Identifier: GPL-2.0-only
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "history.h"
#include "truth.h"

#define LENGTH 0x100000 /* of main, sectors */
#define STRIDE 64 /* sectors of main between two extents */
#define ROOM   8 /* sectors of spare for each */
#define MOST   (DMR_BLOCK_ENTRIES - 1) /* in a block: the impossible version has one more */

static struct dmr_super *super_of(char *version)
{
	return (struct dmr_super *)version;
}

static struct dmr_table *table_of(char *version, uint32_t index)
{
	return (struct dmr_table *)(version + (size_t)index * DMR_BLOCK_SIZE);
}

const char *history_block(const struct history *h, unsigned int version, uint32_t index)
{
	const char *blocks = version < VERSIONS ? h->version[version] : h->impossible;

	return blocks + (size_t)index * DMR_BLOCK_SIZE;
}

const char *history_in_copy(const struct history *h, unsigned int copy, uint32_t index)
{
	return history_block(h, h->failed & 1u << copy ? h->since - 1 : VERSIONS - 1, index);
}

const char *history_twin(const struct history *h, uint32_t index)
{
	static const char none[DMR_BLOCK_SIZE];
	const char *twin = h->twin + (size_t)index * DMR_BLOCK_SIZE;

	return memcmp(twin, none, sizeof(none)) ? twin : NULL;
}

static char *new_version(const struct history *h)
{
	char *version = calloc(h->blocks, DMR_BLOCK_SIZE);

	if (!version)
		err(2, "memory");
	return version;
}

static void draw_uuid(uint8_t *uuid, uint64_t *random)
{
	for (int i = 0; i < DMR_UUID_SIZE; i++)
		uuid[i] = random_next(random);
}

/* One whose table may still grow. */
static void shorten(struct dmr_super *s, uint64_t *random)
{
	uint64_t generation = le64_to_cpu(s->header.generation), digest = 0;
	uint32_t blocks = 1 + random_next(random) % le32_to_cpu(s->table_blocks);

	for (uint32_t i = 1; i <= blocks; i++)
		digest += dmr_digest(i, generation);
	s->table_blocks = cpu_to_le32(blocks);
	s->digest = cpu_to_le64(digest);
	dmr_seal(s);
}

/* A set that nothing was moved in. */
static void make_first(struct history *h, uint64_t *random)
{
	struct dmr_super super;
	struct dmr_new n = {
		.uuid = h->uuid,
		.name = "catalogue",
		.length = LENGTH,
		.main_block = DMR_SECTOR_SIZE,
		.spare_block = DMR_SECTOR_SIZE,
		.created = 1,
		.generation = 1 + random_next(random) % 1000,
	};
	uint8_t spare_uuid[DMR_UUID_SIZE];

	draw_uuid(spare_uuid, random);
	n.spare_uuid = spare_uuid;
	dmr_super_init(&super, &h->layout, &n);
	if (random_next(random) % 2)
		shorten(&super, random);
	h->blocks = 1 + le32_to_cpu(super.table_blocks);
	h->version[0] = new_version(h);
	*super_of(h->version[0]) = super;
	for (uint32_t i = 1; i < h->blocks; i++)
		dmr_table_init(table_of(h->version[0], i), h->uuid, i, n.generation);
}

static bool is_place(const struct history *h, uint32_t place)
{
	return dmr_is_data(&h->layout, (uint64_t)place * ROOM, ROOM);
}

/* The last one is for the impossible version. */
static uint32_t last_place(const struct history *h)
{
	uint32_t place = h->layout.sectors / ROOM;

	while (!is_place(h, place))
		place--;
	return place;
}

/* Enters some extents into a block, or fills it; there is a place for each on main and on the spare. */
static void fill_block(const struct history *h, struct dmr_table *t, uint32_t *place,
		       uint64_t *random)
{
	static const unsigned int mosts[] = {4, 60, 2 * DMR_BLOCK_ENTRIES};
	unsigned int most = mosts[random_next(random) % 3], n = 1 + random_next(random) % most;
	const uint32_t last = last_place(h);

	for (; n && *place + 1 < last; n--) {
		*place += 1;
		if (is_place(h, *place) && le32_to_cpu(t->header.count) < MOST)
			dmr_table_insert(t, (uint64_t)*place * STRIDE, (uint64_t)*place * ROOM,
					 1 + random_next(random) % ROOM, 0);
	}
}

static void change_block(char *version, uint32_t index, uint64_t generation)
{
	struct dmr_super *s = super_of(version);
	struct dmr_table *t = table_of(version, index);
	uint64_t before = le64_to_cpu(t->header.generation);

	t->header.previous = t->header.generation;
	t->header.generation = cpu_to_le64(generation);
	dmr_seal(t);
	s->digest = cpu_to_le64(le64_to_cpu(s->digest) - dmr_digest(index, before) +
				dmr_digest(index, generation));
}

/* A commit. */
static void make_next(struct history *h, unsigned int version, uint32_t *place, uint64_t *random)
{
	struct dmr_super *s;
	uint64_t generation;

	h->version[version] = new_version(h);
	memcpy(h->version[version], h->version[version - 1], (size_t)h->blocks * DMR_BLOCK_SIZE);
	s = super_of(h->version[version]);
	generation = le64_to_cpu(s->header.generation) + 1 + random_next(random) % 2;
	for (uint32_t i = 1; i < h->blocks; i++) {
		if (random_next(random) % 2)
			continue;
		fill_block(h, table_of(h->version[version], i), place, random);
		change_block(h->version[version], i, generation);
	}
	s->header.previous = s->header.generation;
	s->header.generation = cpu_to_le64(generation);
	if (version == h->since)
		s->failed_copies = cpu_to_le32(h->failed);
	dmr_seal(s);
}

/* From some version on, up to three copies cannot be written. */
static void draw_failed(struct history *h, uint64_t *random)
{
	unsigned int count = random_next(random) % 2 ? 1 + random_next(random) % 3 : 0;

	h->since = 1 + random_next(random) % (VERSIONS - 1);
	while (count--)
		h->failed |= 1u << random_next(random) % DMR_COPIES;
}

/* An extent of another block than @index; NULL if there is none. */
static const struct dmr_entry *other_extent(const struct history *h, uint32_t index)
{
	for (uint32_t i = 1; i < h->blocks; i++) {
		const struct dmr_table *t = table_of(h->version[VERSIONS - 1], i);

		if (i != index && t->header.count)
			return t->entry;
	}
	return NULL;
}

static void make_impossible(struct history *h, uint32_t place)
{
	char *now = h->version[VERSIONS - 1];
	uint64_t generation = le64_to_cpu(super_of(now)->header.generation) + 1;

	while (!is_place(h, ++place)) /* one behind the others */
		;
	h->impossible = new_version(h);
	for (uint32_t i = 1; i < h->blocks; i++) {
		const struct dmr_entry *taken = other_extent(h, i);
		struct dmr_table *t = table_of(h->impossible, i);

		*t = *table_of(now, i);
		/* else it stays as it is now */
		if (!taken ||
		    !dmr_table_insert(
			    t, i % 2 ? le64_to_cpu(taken->main) : (uint64_t)place * STRIDE,
			    i % 2 ? (uint64_t)place * ROOM : le64_to_cpu(taken->spare), 1, 0))
			continue;
		t->header.previous = t->header.generation;
		t->header.generation = cpu_to_le64(generation);
		dmr_seal(t);
	}
}

/* Two machines have the spare in use, and both commit: as many entries less one, or one repair more. */
static void make_twin(struct history *h)
{
	h->twin = new_version(h);
	for (uint32_t i = 0; i < h->blocks; i++) {
		const char *now = history_current(h, i);
		struct dmr_super *s = super_of(h->twin);
		struct dmr_table *t = table_of(h->twin, i);
		uint32_t count = le32_to_cpu(((const struct dmr_table *)now)->header.count);

		if (i && !count)
			continue;
		memcpy(t, now, DMR_BLOCK_SIZE);
		if (i) {
			t->header.count = cpu_to_le32(count - 1);
			memset(&t->entry[count - 1], 0, sizeof(t->entry[0]));
		} else {
			s->repairs = cpu_to_le64(le64_to_cpu(s->repairs) + 1);
		}
		dmr_seal(t);
	}
}

static void make_behind(struct history *h)
{
	const unsigned int versions[] = {0, VERSIONS - 1};

	for (unsigned int k = 0; k < 2; k++) {
		const struct dmr_header *s = (const void *)history_block(h, versions[k], 0);
		uint32_t place = last_place(h);

		dmr_table_init(&h->behind[k], h->uuid, h->blocks, le64_to_cpu(s->generation) + k);
		dmr_table_insert(&h->behind[k], (uint64_t)place * STRIDE, (uint64_t)place * ROOM, 1,
				 0);
		dmr_seal(&h->behind[k]);
	}
}

void history_begin(struct history *h, uint64_t sectors, uint64_t *random)
{
	uint32_t place = 0;

	*h = (struct history){0};
	if (dmr_layout_init(&h->layout, sectors) != DMR_OK)
		errx(2, "a spare of %llu sectors is too small", (unsigned long long)sectors);
	draw_uuid(h->uuid, random);
	draw_failed(h, random);
	make_first(h, random);
	for (unsigned int i = 1; i < VERSIONS; i++)
		make_next(h, i, &place, random);
	make_impossible(h, place);
	make_twin(h);
	make_behind(h);
}

void history_end(struct history *h)
{
	for (unsigned int i = 0; i < VERSIONS; i++)
		free(h->version[i]);
	free(h->impossible);
	free(h->twin);
}
