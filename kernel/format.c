// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bytes on a spare: geometry, validity, change. See format.h.
 */
#include "format.h"

#ifdef __KERNEL__
#include <linux/math64.h>
#include <linux/string.h>
#include <linux/xxhash.h>
#else
#include <string.h>
#include <xxhash.h>
#define div_u64(dividend, divisor) ((dividend) / (divisor))
#define xxh64(data, length, seed)  XXH64(data, length, seed)
#endif

#define CHECKED_BYTES (DMR_BLOCK_SIZE - sizeof(__le64))

static const char *const fault_text[DMR_FAULTS] = {
	[DMR_OK] = "good",
	[DMR_UNREADABLE] = "cannot be read",
	[DMR_EMPTY] = "all zero",
	[DMR_BAD_MAGIC] = "not dm-remap metadata",
	[DMR_BAD_CHECKSUM] = "checksum does not match",
	[DMR_BAD_FEATURE] = "written by a newer dm-remap (unknown incompatible feature)",
	[DMR_BAD_RESERVED] = "reserved bytes are not zero",
	[DMR_BAD_UUID] = "belongs to another set",
	[DMR_BAD_INDEX] = "belongs somewhere else",
	[DMR_BAD_GENERATION] = "impossible generation",
	[DMR_BAD_STATE] = "unknown state",
	[DMR_BAD_GEOMETRY] = "recorded geometry is impossible",
	[DMR_BAD_NAME] = "not a valid set name",
	[DMR_BAD_STRING] = "malformed identity string",
	[DMR_TRUNCATED] = "spare is smaller than recorded",
	[DMR_BAD_COUNT] = "impossible entry count",
	[DMR_BAD_ORDER] = "entries out of order or overlapping on main",
	[DMR_BAD_MAIN_RANGE] = "entry outside main",
	[DMR_BAD_SPARE_RANGE] = "entry outside the spare's replacement sectors",
	[DMR_BAD_ALIGNMENT] = "entry not aligned to the logical block",
	[DMR_BAD_FLAGS] = "unknown entry flags",
	[DMR_OVERLAP_MAIN] = "two entries cover one sector of main",
	[DMR_OVERLAP_SPARE] = "two entries share one sector of spare",
	[DMR_STALE] = "older than another copy",
	[DMR_SPLIT] = "copies of one generation differ",
	[DMR_LOST] = "no current instance is left",
	[DMR_TOO_SMALL] = "too small for five copies and replacement sectors",
};

const char *dmr_fault_text(enum dmr_fault fault)
{
	return (unsigned int)fault < DMR_FAULTS ? fault_text[fault] : "unknown fault";
}

static bool all_zero(const void *p, size_t length)
{
	const __u8 *b = p;

	/* The first is, and each of the others is as the one before. */
	return !length || (!b[0] && !memcmp(b, b + 1, length - 1));
}

static __u64 checksum(const void *block)
{
	return xxh64(block, CHECKED_BYTES, 0);
}

void dmr_seal(void *block)
{
	struct dmr_table *t = block; /* the checksum is in the same place in both kinds */

	t->checksum = cpu_to_le64(checksum(block));
}

/* Geometry */

/*
 * Copies start on a boundary of about 1/1024 of the device (a power of two), so that
 * they can be searched for, too, when neither size nor superblock tells where they are.
 */
static __u64 copy_alignment(__u64 sectors)
{
	__u64 a = DMR_BLOCK_SECTORS;

	while (a * 2 * 1024 <= sectors)
		a *= 2;
	return a;
}

enum dmr_fault dmr_layout_init(struct dmr_layout *l, __u64 sectors)
{
	__u64 align, blocks, last;
	unsigned int i;

	if (sectors < DMR_MIN_SECTORS)
		return DMR_TOO_SMALL;
	if (sectors > DMR_MAX_SECTORS)
		return DMR_BAD_GEOMETRY;

	/* Room for one remap per 8 sectors of spare. */
	blocks = div_u64(sectors / 8 + DMR_BLOCK_ENTRIES - 1, DMR_BLOCK_ENTRIES);
	if (blocks >= 1ULL << 31)
		blocks = (1ULL << 31) - 1;

	l->sectors = sectors;
	l->table_capacity = blocks;
	align = copy_alignment(sectors);
	last = sectors - dmr_copy_sectors(l);
	for (i = 0; i < DMR_COPIES; i++)
		l->copy_sector[i] = (last / (DMR_COPIES - 1) * i) & ~(align - 1);
	return DMR_OK;
}

__u64 dmr_block_sector(const struct dmr_layout *l, unsigned int copy, __u32 index)
{
	return l->copy_sector[copy] + (__u64)index * DMR_BLOCK_SECTORS;
}

__u64 dmr_copy_sectors(const struct dmr_layout *l)
{
	return ((__u64)l->table_capacity + 1) * DMR_BLOCK_SECTORS;
}

__u64 dmr_data_run(const struct dmr_layout *l, __u64 from, __u64 *start)
{
	unsigned int i;

	for (i = 0; i < DMR_COPIES; i++) {
		__u64 gap = l->copy_sector[i] + dmr_copy_sectors(l);
		__u64 end = i + 1 < DMR_COPIES ? l->copy_sector[i + 1] : l->sectors;

		if (from < end && gap < end) {
			*start = from > gap ? from : gap;
			return end - *start;
		}
	}
	return 0;
}

__u64 dmr_data_sectors(const struct dmr_layout *l)
{
	return l->sectors - DMR_COPIES * dmr_copy_sectors(l);
}

__u64 dmr_data_left(const struct dmr_layout *l, __u64 from)
{
	__u64 left = 0, run;

	while ((run = dmr_data_run(l, from, &from))) {
		left += run;
		from += run;
	}
	return left;
}

bool dmr_is_data(const struct dmr_layout *l, __u64 sector, __u64 count)
{
	__u64 start;
	__u64 run = dmr_data_run(l, sector, &start);

	return run && start == sector && count <= run;
}

/* Building */

static bool name_char_valid(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("#+.:=@_-", c));
}

bool dmr_name_valid(const char *name)
{
	size_t i;

	if (!name[0] || !strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	for (i = 0; name[i]; i++)
		if (i == DMR_NAME_SIZE - 1 || !name_char_valid(name[i]))
			return false;
	return true;
}

static void header_init(struct dmr_header *h, __u64 magic, const __u8 *uuid, __u32 index,
			__u64 generation)
{
	h->magic = cpu_to_le64(magic);
	memcpy(h->uuid, uuid, DMR_UUID_SIZE);
	h->index = cpu_to_le32(index);
	h->generation = cpu_to_le64(generation);
}

void dmr_super_init(struct dmr_super *s, const struct dmr_layout *l, const struct dmr_new *n)
{
	__u32 blocks = l->table_capacity < DMR_TABLE_STEP ? l->table_capacity : DMR_TABLE_STEP;
	__u64 digest = 0;
	__u32 i;

	memset(s, 0, sizeof(*s));
	header_init(&s->header, DMR_MAGIC_SUPER, n->uuid, 0, n->generation);
	s->length = cpu_to_le64(n->length);
	s->spare_sectors = cpu_to_le64(l->sectors);
	s->main_block = cpu_to_le32(n->main_block);
	s->spare_block = cpu_to_le32(n->spare_block);
	for (i = 0; i < DMR_COPIES; i++)
		s->copy_sector[i] = cpu_to_le64(l->copy_sector[i]);
	s->table_capacity = cpu_to_le32(l->table_capacity);
	s->table_blocks = cpu_to_le32(blocks);
	for (i = 1; i <= blocks; i++)
		digest += dmr_digest(i, n->generation);
	s->digest = cpu_to_le64(digest);
	s->created = cpu_to_le64(n->created);
	memcpy(s->spare_uuid, n->spare_uuid, DMR_UUID_SIZE);
	memcpy(s->name, n->name, strlen(n->name));
	s->main.sectors = s->length;
	s->spare.sectors = s->spare_sectors;
	dmr_seal(s);
}

void dmr_super_incoming(struct dmr_super *s, const struct dmr_layout *l,
			const struct dmr_super *ours, const __u8 *spare_uuid, __u32 spare_block,
			__u64 generation)
{
	const struct dmr_new n = {
		.uuid = ours->header.uuid,
		.spare_uuid = spare_uuid,
		.name = ours->name,
		.length = le64_to_cpu(ours->length),
		.main_block = le32_to_cpu(ours->main_block),
		.spare_block = spare_block,
		.created = le64_to_cpu(ours->created),
		.generation = generation,
	};

	dmr_super_init(s, l, &n);
	s->state = cpu_to_le32(DMR_STATE_INCOMING);
	memcpy(s->peer_uuid, ours->spare_uuid, DMR_UUID_SIZE);
	s->main = ours->main;
	dmr_seal(s);
}

void dmr_table_init(struct dmr_table *t, const __u8 *uuid, __u32 index, __u64 generation)
{
	memset(t, 0, sizeof(*t));
	header_init(&t->header, DMR_MAGIC_TABLE, uuid, index, generation);
	dmr_seal(t);
}

/* Validity */

static bool string_valid(const char *s, size_t size)
{
	size_t length = strnlen(s, size);

	return length < size && all_zero(s + length, size - length);
}

static bool identity_valid(const struct dmr_identity *d)
{
	return !d->reserved && string_valid(d->wwid, sizeof(d->wwid)) &&
	       string_valid(d->serial, sizeof(d->serial)) &&
	       string_valid(d->partuuid, sizeof(d->partuuid)) &&
	       string_valid(d->ptuuid, sizeof(d->ptuuid)) &&
	       string_valid(d->fsuuid, sizeof(d->fsuuid));
}

static bool block_size_valid(__u32 size)
{
	return size >= DMR_SECTOR_SIZE && size <= DMR_BLOCK_SIZE && !(size & (size - 1));
}

/* The places that a superblock records are those of the size that it records. */
static enum dmr_fault geometry_check(const struct dmr_super *s, __u64 device_sectors)
{
	__u64 length = le64_to_cpu(s->length);
	__u32 main_block = le32_to_cpu(s->main_block);
	__u32 spare_block = le32_to_cpu(s->spare_block);
	__u32 blocks = le32_to_cpu(s->table_blocks);
	struct dmr_layout l;
	unsigned int i;

	if (dmr_layout_init(&l, le64_to_cpu(s->spare_sectors)) != DMR_OK)
		return DMR_BAD_GEOMETRY;
	for (i = 0; i < DMR_COPIES; i++)
		if (le64_to_cpu(s->copy_sector[i]) != l.copy_sector[i])
			return DMR_BAD_GEOMETRY;
	if (le32_to_cpu(s->table_capacity) != l.table_capacity || !blocks ||
	    blocks > l.table_capacity)
		return DMR_BAD_GEOMETRY;
	if (!block_size_valid(main_block) || !block_size_valid(spare_block) ||
	    spare_block > main_block)
		return DMR_BAD_GEOMETRY;
	if (!length || length > DMR_MAX_SECTORS || length & (main_block / DMR_SECTOR_SIZE - 1))
		return DMR_BAD_GEOMETRY;
	if (l.sectors > device_sectors)
		return DMR_TRUNCATED;
	return DMR_OK;
}

static enum dmr_fault header_check(const void *block, __u64 magic, __u32 index)
{
	const struct dmr_table *t = block;
	const struct dmr_header *h = block;

	if (h->magic != cpu_to_le64(magic))
		return all_zero(block, DMR_BLOCK_SIZE) ? DMR_EMPTY : DMR_BAD_MAGIC;
	if (le64_to_cpu(t->checksum) != checksum(block))
		return DMR_BAD_CHECKSUM;
	if (le32_to_cpu(h->index) != index)
		return DMR_BAD_INDEX;
	if (!h->generation || le64_to_cpu(h->generation) >= 2 * DMR_LAST_GENERATION ||
	    le64_to_cpu(h->previous) >= le64_to_cpu(h->generation))
		return DMR_BAD_GENERATION;
	return DMR_OK;
}

enum dmr_fault dmr_super_check(const struct dmr_super *s, __u64 device_sectors)
{
	enum dmr_fault fault = header_check(s, DMR_MAGIC_SUPER, 0);

	if (fault != DMR_OK)
		return fault;
	if (le32_to_cpu(s->incompat) & ~DMR_INCOMPAT_KNOWN)
		return DMR_BAD_FEATURE;
	/* Whoever set a feature bit that is unknown here may have put reserved bytes to use. */
	if (!(le32_to_cpu(s->compat) & ~DMR_COMPAT_KNOWN) && !dmr_super_read_only(s) &&
	    (s->header.reserved || s->header.count || s->reserved0 ||
	     !all_zero(s->reserved, sizeof(s->reserved))))
		return DMR_BAD_RESERVED;
	if (le32_to_cpu(s->state) > DMR_STATE_INCOMING ||
	    le32_to_cpu(s->failed_copies) & ~DMR_ALL_COPIES)
		return DMR_BAD_STATE;
	if (!string_valid(s->name, sizeof(s->name)) || (s->name[0] && !dmr_name_valid(s->name)))
		return DMR_BAD_NAME;
	if (!identity_valid(&s->main) || !identity_valid(&s->spare))
		return DMR_BAD_STRING;
	return geometry_check(s, device_sectors);
}

__u64 dmr_super_hint(const struct dmr_super *s)
{
	return s->header.magic == cpu_to_le64(DMR_MAGIC_SUPER) ? le64_to_cpu(s->spare_sectors) : 0;
}

static enum dmr_fault entry_check(const struct dmr_entry *e, const struct dmr_super *s,
				  const struct dmr_layout *l)
{
	__u64 main = le64_to_cpu(e->main);
	__u64 spare = le64_to_cpu(e->spare);
	__u32 sectors = le32_to_cpu(e->sectors);
	__u64 length = le64_to_cpu(s->length);
	__u32 main_unit = le32_to_cpu(s->main_block) / DMR_SECTOR_SIZE;
	__u32 spare_unit = le32_to_cpu(s->spare_block) / DMR_SECTOR_SIZE;

	if (le32_to_cpu(e->flags) & ~DMR_ENTRY_NO_DATA || (e->flags && sectors != main_unit))
		return DMR_BAD_FLAGS;
	if (!sectors || main >= length || sectors > length - main)
		return DMR_BAD_MAIN_RANGE;
	if (!dmr_is_data(l, spare, sectors))
		return DMR_BAD_SPARE_RANGE;
	/* Powers of two: no 64-bit division. */
	if ((main | sectors) & (main_unit - 1) || spare & (spare_unit - 1))
		return DMR_BAD_ALIGNMENT;
	return DMR_OK;
}

enum dmr_fault dmr_table_check(const struct dmr_table *t, const struct dmr_super *s, __u32 index)
{
	enum dmr_fault fault = header_check(t, DMR_MAGIC_TABLE, index);
	__u32 count = le32_to_cpu(t->header.count);
	struct dmr_layout l;
	__u32 i;

	if (fault != DMR_OK)
		return fault;
	if (memcmp(t->header.uuid, s->header.uuid, DMR_UUID_SIZE))
		return DMR_BAD_UUID;
	if (t->header.reserved)
		return DMR_BAD_RESERVED;
	if (count > DMR_BLOCK_ENTRIES)
		return DMR_BAD_COUNT;

	if (dmr_layout_init(&l, le64_to_cpu(s->spare_sectors)) != DMR_OK)
		return DMR_BAD_GEOMETRY;
	for (i = 0; i < count; i++) {
		fault = entry_check(&t->entry[i], s, &l);
		if (fault != DMR_OK)
			return fault;
		if (i && (le64_to_cpu(t->entry[i].main) <= le64_to_cpu(t->entry[i - 1].main) ||
			  dmr_entries_overlap(&t->entry[i - 1], &t->entry[i], true)))
			return DMR_BAD_ORDER;
	}
	if (!all_zero(&t->entry[count], (DMR_BLOCK_ENTRIES - count) * sizeof(t->entry[0])))
		return DMR_BAD_RESERVED;
	return DMR_OK;
}

bool dmr_super_read_only(const struct dmr_super *s)
{
	return le32_to_cpu(s->ro_compat) & ~DMR_RO_COMPAT_KNOWN;
}

bool dmr_entries_overlap(const struct dmr_entry *a, const struct dmr_entry *b, bool by_main)
{
	__u64 sa = le64_to_cpu(by_main ? a->main : a->spare);
	__u64 sb = le64_to_cpu(by_main ? b->main : b->spare);

	if (sa <= sb)
		return sb - sa < le32_to_cpu(a->sectors);
	return sa - sb < le32_to_cpu(b->sectors);
}

__u64 dmr_digest(__u32 index, __u64 generation)
{
	__le64 key[2] = { cpu_to_le64(index), cpu_to_le64(generation) };

	return xxh64(key, sizeof(key), 0);
}

/* Changing */

static bool continues(const struct dmr_entry *a, __u64 main, __u64 spare, __u32 sectors)
{
	__u32 length = le32_to_cpu(a->sectors);

	return !a->flags && le64_to_cpu(a->main) + length == main &&
	       le64_to_cpu(a->spare) + length == spare && length <= ~0u - sectors;
}

bool dmr_table_insert(struct dmr_table *t, __u64 main, __u64 spare, __u32 sectors, __u32 flags)
{
	__u32 count = le32_to_cpu(t->header.count);
	__u32 at = count;
	struct dmr_entry *e;

	while (at && le64_to_cpu(t->entry[at - 1].main) > main)
		at--;
	if (at && !flags && continues(&t->entry[at - 1], main, spare, sectors)) {
		e = &t->entry[at - 1];
		e->sectors = cpu_to_le32(le32_to_cpu(e->sectors) + sectors);
		return true;
	}
	if (count == DMR_BLOCK_ENTRIES)
		return false;
	e = &t->entry[at];
	memmove(e + 1, e, (count - at) * sizeof(*e));
	e->main = cpu_to_le64(main);
	e->spare = cpu_to_le64(spare);
	e->sectors = cpu_to_le32(sectors);
	e->flags = cpu_to_le32(flags);
	t->header.count = cpu_to_le32(count + 1);
	return true;
}

/* Number of the entry that holds all of the range; DMR_BLOCK_ENTRIES if none does. */
static __u32 holder(const struct dmr_table *t, __u64 main, __u32 sectors)
{
	__u32 count = le32_to_cpu(t->header.count);
	__u32 at;

	for (at = 0; at < count; at++) {
		__u64 start = le64_to_cpu(t->entry[at].main);

		if (start <= main && main + sectors <= start + le32_to_cpu(t->entry[at].sectors))
			return at;
	}
	return DMR_BLOCK_ENTRIES;
}

bool dmr_table_holds(const struct dmr_table *t, __u64 main, __u32 sectors)
{
	return holder(t, main, sectors) < DMR_BLOCK_ENTRIES;
}

/* Its first @sectors belong to the entry before it, which they continue. */
static void give_to_previous(struct dmr_table *t, struct dmr_entry *e, __u32 sectors)
{
	__u32 count = le32_to_cpu(t->header.count);
	__u32 right = le32_to_cpu(e->sectors) - sectors;

	e[-1].sectors = cpu_to_le32(le32_to_cpu(e[-1].sectors) + sectors);
	if (right) {
		e->main = cpu_to_le64(le64_to_cpu(e->main) + sectors);
		e->spare = cpu_to_le64(le64_to_cpu(e->spare) + sectors);
		e->sectors = cpu_to_le32(right);
		return;
	}
	memmove(e, e + 1, (&t->entry[count] - (e + 1)) * sizeof(*e));
	memset(&t->entry[count - 1], 0, sizeof(*e));
	t->header.count = cpu_to_le32(count - 1);
}

bool dmr_table_replace(struct dmr_table *t, __u64 main, __u64 spare, __u32 sectors, __u32 flags)
{
	__u32 count = le32_to_cpu(t->header.count);
	__u32 at = holder(t, main, sectors);
	struct dmr_entry *e = &t->entry[at];
	__u32 left = main - le64_to_cpu(e->main);
	__u32 right = le32_to_cpu(e->sectors) - left - sectors;
	__u32 parts = 1 + (left > 0) + (right > 0);

	/* Place after place of a spare that goes bad would fill the block. */
	if (at && !left && !flags && continues(e - 1, main, spare, sectors)) {
		give_to_previous(t, e, sectors);
		return true;
	}
	if (count - 1 + parts > DMR_BLOCK_ENTRIES)
		return false;
	memmove(e + parts, e + 1, (count - at - 1) * sizeof(*e));
	t->header.count = cpu_to_le32(count - 1 + parts);
	if (right) {
		e[parts - 1].main = cpu_to_le64(main + sectors);
		e[parts - 1].spare = cpu_to_le64(le64_to_cpu(e->spare) + left + sectors);
		e[parts - 1].sectors = cpu_to_le32(right);
		e[parts - 1].flags = 0; /* one that has any is not cut */
	}
	if (left) {
		e->sectors = cpu_to_le32(left);
		e++;
	}
	e->main = cpu_to_le64(main);
	e->spare = cpu_to_le64(spare);
	e->sectors = cpu_to_le32(sectors);
	e->flags = cpu_to_le32(flags);
	return true;
}
