// SPDX-License-Identifier: GPL-2.0-only
/*
 * The on-disk format: geometry, validity, election, vote, tally. Where a rule of validity is
 * tested the checksum is made to fit, so that it is the rule that speaks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vote.h"

/* Rows of tables say what matters and leave the rest 0. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define FIELD_SIZE(type, field) sizeof(((type *)NULL)->field)

#define SPARE      65536ULL /* sectors */
#define MAIN       1048576ULL /* sectors */
#define MAX_LENGTH (1ULL << 48)

static const __u8 uuid_a[DMR_UUID_SIZE] = "set A..........";
static const __u8 uuid_b[DMR_UUID_SIZE] = "set B..........";
static const __u8 uuid_spare[DMR_UUID_SIZE] = "spare..........";

/* Offsets are asked for with packed structures, so values go in and out by memcpy. */
static void put(void *block, size_t offset, size_t size, __u64 value)
{
	__le64 le = cpu_to_le64(value);

	memcpy((char *)block + offset, &le, size);
}

static struct dmr_layout layout_of(__u64 sectors)
{
	struct dmr_layout l;

	assert_int_equal(dmr_layout_init(&l, sectors), DMR_OK);
	return l;
}

static struct dmr_super super_of(__u64 sectors, __u32 main_block, __u32 spare_block)
{
	struct dmr_layout l = layout_of(sectors);
	struct dmr_new n = {
		.uuid = uuid_a,
		.spare_uuid = uuid_spare,
		.name = "root",
		.length = MAIN,
		.main_block = main_block,
		.spare_block = spare_block,
		.created = 1700000000,
		.generation = 1,
	};
	struct dmr_super s;

	dmr_super_init(&s, &l, &n);
	return s;
}

static struct dmr_super good_super(void)
{
	return super_of(SPARE, 4096, 512);
}

/* Geometry */

static void check_layout(__u64 sectors)
{
	struct dmr_layout l = layout_of(sectors);
	__u64 size = dmr_copy_sectors(&l);
	__u64 metadata = DMR_COPIES * size;
	__u64 start, run, data = 0;
	__u64 at = 0;
	int i;

	assert_int_equal(l.sectors, sectors);
	assert_int_equal(size, (l.table_capacity + 1ULL) * DMR_BLOCK_SECTORS);
	assert_int_equal(l.copy_sector[0], 0);
	for (i = 0; i < DMR_COPIES; i++) {
		__u64 end = l.copy_sector[i] + size;

		assert_int_equal(l.copy_sector[i] % DMR_BLOCK_SECTORS, 0);
		assert_true(end <= sectors);
		assert_true(i == 0 || l.copy_sector[i] >= l.copy_sector[i - 1] + size);
		assert_int_equal(dmr_block_sector(&l, i, 0), l.copy_sector[i]);
		assert_int_equal(dmr_block_sector(&l, i, l.table_capacity),
				 end - DMR_BLOCK_SECTORS);
		/* The metadata is no place for data, nor is anything that reaches into it. */
		assert_false(dmr_is_data(&l, l.copy_sector[i], 1));
		assert_false(dmr_is_data(&l, end - 1, 1));
		assert_false(dmr_is_data(&l, end - 1, 2));
		assert_true(!l.copy_sector[i] || !dmr_is_data(&l, l.copy_sector[i] - 1, 2));
	}
	/* No damage of an eighth of the device, wherever it is, reaches three copies. */
	for (i = 2; i < DMR_COPIES; i++)
		assert_true(l.copy_sector[i] - (l.copy_sector[i - 2] + size) > sectors / 8);

	/* Runs of data and copies take turns and leave nothing over. */
	while ((run = dmr_data_run(&l, at, &start))) {
		assert_true(start >= at && start + run <= sectors);
		assert_true(dmr_is_data(&l, start, run));
		assert_false(dmr_is_data(&l, start, run + 1));
		assert_int_equal(dmr_data_run(&l, start + run / 2, &at), run - run / 2);
		assert_int_equal(dmr_data_left(&l, start + run / 2),
				 dmr_data_left(&l, start + run) + run - run / 2);
		assert_int_equal(at, start + run / 2);
		data += run;
		at = start + run;
	}
	assert_int_equal(data + metadata, sectors);
	assert_int_equal(data, dmr_data_sectors(&l));
	assert_int_equal(data, dmr_data_left(&l, 0));
	assert_true(data >= sectors / 64);

	/* One remap per 8 sectors, up to the largest table there can be. */
	if (l.table_capacity < (1u << 31) - 1)
		assert_true((__u64)l.table_capacity * DMR_BLOCK_ENTRIES >= sectors / 8);

	assert_int_equal(dmr_data_run(&l, sectors, &start), 0);
	assert_int_equal(dmr_data_run(&l, UINT64_MAX, &start), 0);
	assert_false(dmr_is_data(&l, UINT64_MAX, 1));
	assert_false(dmr_is_data(&l, UINT64_MAX, UINT64_MAX));
	assert_false(dmr_is_data(&l, size, UINT64_MAX));
	assert_false(dmr_is_data(&l, sectors, 1));
}

static void layout(void **state)
{
	__u64 sectors;
	int bit, i;

	(void)state;
	for (sectors = DMR_MIN_SECTORS; sectors < DMR_MIN_SECTORS + 20000; sectors++)
		check_layout(sectors);
	for (bit = 12; bit < 48; bit++)
		for (i = -20; i <= 20; i++)
			check_layout((1ULL << bit) + i);
	srand(1);
	for (i = 0; i < 200000; i++) {
		sectors = ((__u64)rand() << 31 ^ rand()) >> rand() % 38;
		if (sectors >= DMR_MIN_SECTORS && sectors <= DMR_MAX_SECTORS)
			check_layout(sectors);
	}
	check_layout(DMR_MAX_SECTORS);
}

static void layout_refused(void **state)
{
	struct dmr_layout l;

	(void)state;
	assert_int_equal(dmr_layout_init(&l, 0), DMR_TOO_SMALL);
	assert_int_equal(dmr_layout_init(&l, DMR_MIN_SECTORS - 1), DMR_TOO_SMALL);
	assert_int_not_equal(dmr_layout_init(&l, DMR_MAX_SECTORS + 1), DMR_OK);
	assert_int_not_equal(dmr_layout_init(&l, UINT64_MAX), DMR_OK);
}

/* The example in docs/format.md. */
static void layout_example(void **state)
{
	static const __u64 copy_sector[DMR_COPIES] = { 0, 520192, 1040384, 1562624, 2082816 };
	struct dmr_layout l = layout_of(2097152);

	(void)state;
	assert_int_equal(l.table_capacity, 1561);
	assert_memory_equal(l.copy_sector, copy_sector, sizeof(copy_sector));
}

/* The known answers of docs/format.md: what is on disks already must stay readable. */
static void known_answers(void **state)
{
	__u8 uuid[DMR_UUID_SIZE];
	struct dmr_table t;
	int i;

	(void)state;
	for (i = 0; i < DMR_UUID_SIZE; i++)
		uuid[i] = i * 0x11;
	dmr_table_init(&t, uuid, 1, 1);
	assert_int_equal(le64_to_cpu(t.checksum), 0x45d3255c9df1261aULL);
	assert_int_equal(dmr_digest(1, 1), 0xed7aead4b89ab6fcULL);
	assert_memory_equal(&t, "DMREMPT1", 8);
	assert_int_equal(offsetof(struct dmr_super, copy_sector), 96);
	assert_int_equal(offsetof(struct dmr_super, failed_copies), 184);
	assert_int_equal(offsetof(struct dmr_super, name), 224);
	assert_int_equal(offsetof(struct dmr_super, main.fsuuid), 352 + 288);
	assert_int_equal(offsetof(struct dmr_super, spare), 680);
	assert_int_equal(offsetof(struct dmr_super, checksum), 4088);
	assert_int_equal(offsetof(struct dmr_table, entry[1].spare), 64 + 24);
}

static void names(void **state)
{
	char name[DMR_NAME_SIZE + 1];

	(void)state;
	assert_true(dmr_name_valid("root"));
	assert_true(dmr_name_valid("...") && dmr_name_valid("a#+.:=@_-Z9"));
	assert_false(dmr_name_valid(""));
	assert_false(dmr_name_valid(".") || dmr_name_valid(".."));
	assert_false(dmr_name_valid("a/b") || dmr_name_valid("a b") || dmr_name_valid("a\n"));
	assert_false(dmr_name_valid("\xc3\xa4") || dmr_name_valid("a\x7f"));
	memset(name, 'x', sizeof(name));
	name[DMR_NAME_SIZE] = 0;
	assert_false(dmr_name_valid(name));
	name[DMR_NAME_SIZE - 1] = 0;
	assert_true(dmr_name_valid(name));
}

static void fault_texts(void **state)
{
	int i, j;

	(void)state;
	for (i = 0; i < DMR_FAULTS; i++) {
		assert_non_null(dmr_fault_text(i));
		for (j = 0; j < i; j++)
			assert_string_not_equal(dmr_fault_text(i), dmr_fault_text(j));
	}
	assert_non_null(dmr_fault_text(DMR_FAULTS));
	assert_non_null(dmr_fault_text((enum dmr_fault)-1));
}

/* Superblocks */

static void new_set(void **state)
{
	static const __u64 sizes[] = { DMR_MIN_SECTORS, 2049, SPARE, 1ULL << 32, DMR_MAX_SECTORS };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct dmr_super s = super_of(sizes[i], 512, 512);
		struct dmr_layout l = layout_of(sizes[i]);
		__u32 blocks = le32_to_cpu(s.table_blocks);
		struct dmr_tally tally;
		__u32 index;

		assert_int_equal(dmr_super_check(&s, sizes[i]), DMR_OK);
		assert_int_equal(dmr_super_check(&s, sizes[i] + 1), DMR_OK);
		assert_int_equal(dmr_super_check(&s, UINT64_MAX), DMR_OK);
		assert_int_equal(dmr_super_check(&s, sizes[i] - 1), DMR_TRUNCATED);
		assert_int_equal(dmr_super_check(&s, 0), DMR_TRUNCATED);
		assert_int_equal(le64_to_cpu(s.header.generation), 1);
		assert_true(blocks >= 1 && blocks <= l.table_capacity);
		assert_true(blocks == DMR_TABLE_STEP || blocks == l.table_capacity);
		assert_false(dmr_super_read_only(&s));

		dmr_tally_init(&tally, &s);
		for (index = 1; index <= blocks; index++) {
			struct dmr_table t;
			struct dmr_vote v;

			dmr_table_init(&t, uuid_a, index, 1);
			assert_int_equal(dmr_table_check(&t, &s, index), DMR_OK);
			dmr_vote_init(&v);
			assert_true(dmr_vote_add(&v, &s, index % DMR_COPIES, &t));
			dmr_tally_add(&tally, &s, index, &v);
		}
		assert_int_equal(dmr_tally_verdict(&tally, &s), DMR_OK);
	}
}

struct mutation {
	const char *what;
	size_t offset, size;
	__u64 value;
	enum dmr_fault expected;
};

#define SUPER(field, value, expected)                                               \
	{ #field " = " #value, offsetof(struct dmr_super, field),                   \
	  FIELD_SIZE(struct dmr_super, field), value, expected }
/* One byte of an array. */
#define SUPER_BYTE(field, n, value, expected)                                       \
	{ #field "[" #n "] = " #value, offsetof(struct dmr_super, field) + (n), 1, value, expected }

/* Of good_super(): generation 1, 65536 sectors of spare with 49 table blocks, 4096 over 512. */
static const struct mutation super_mutations[] = {
	SUPER(header.magic, 0, DMR_BAD_MAGIC),
	SUPER(header.magic, DMR_MAGIC_TABLE, DMR_BAD_MAGIC),
	SUPER(header.index, 1, DMR_BAD_INDEX),
	SUPER(header.index, UINT32_MAX, DMR_BAD_INDEX),
	SUPER(header.count, 1, DMR_BAD_RESERVED),
	SUPER(header.generation, 0, DMR_BAD_GENERATION),
	SUPER(header.generation, (1ULL << 62) - 1, DMR_OK),
	SUPER(header.generation, 1ULL << 62, DMR_BAD_GENERATION),
	SUPER(header.generation, UINT64_MAX, DMR_BAD_GENERATION),
	SUPER(header.previous, 1, DMR_BAD_GENERATION),
	SUPER(header.previous, UINT64_MAX, DMR_BAD_GENERATION),
	SUPER(header.reserved, 1, DMR_BAD_RESERVED),
	SUPER(compat, 1, DMR_OK),
	SUPER(ro_compat, 1u << 31, DMR_OK),
	SUPER(incompat, 1, DMR_BAD_FEATURE),
	SUPER(incompat, 1u << 31, DMR_BAD_FEATURE),
	SUPER(state, DMR_STATE_MIGRATING, DMR_OK),
	SUPER(state, DMR_STATE_SUPERSEDED, DMR_OK),
	SUPER(state, DMR_STATE_INCOMING, DMR_OK),
	SUPER(state, DMR_STATE_INCOMING + 1, DMR_BAD_STATE),
	SUPER(state, UINT32_MAX, DMR_BAD_STATE),
	SUPER(length, 0, DMR_BAD_GEOMETRY),
	SUPER(length, 8, DMR_OK),
	SUPER(length, 9, DMR_BAD_GEOMETRY),
	SUPER(length, MAX_LENGTH, DMR_OK),
	SUPER(length, MAX_LENGTH + 8, DMR_BAD_GEOMETRY),
	SUPER(length, UINT64_MAX - 7, DMR_BAD_GEOMETRY),
	SUPER(length, UINT64_MAX, DMR_BAD_GEOMETRY),
	SUPER(spare_sectors, 0, DMR_BAD_GEOMETRY),
	SUPER(spare_sectors, DMR_MIN_SECTORS, DMR_BAD_GEOMETRY),
	SUPER(spare_sectors, 2 * SPARE, DMR_BAD_GEOMETRY),
	SUPER(spare_sectors, DMR_MAX_SECTORS + 1, DMR_BAD_GEOMETRY),
	SUPER(spare_sectors, UINT64_MAX, DMR_BAD_GEOMETRY),
	SUPER(main_block, 0, DMR_BAD_GEOMETRY),
	SUPER(main_block, 256, DMR_BAD_GEOMETRY),
	SUPER(main_block, 512, DMR_OK),
	SUPER(main_block, 1536, DMR_BAD_GEOMETRY),
	SUPER(main_block, 8192, DMR_BAD_GEOMETRY),
	SUPER(main_block, UINT32_MAX, DMR_BAD_GEOMETRY),
	SUPER(spare_block, 0, DMR_BAD_GEOMETRY),
	SUPER(spare_block, 1, DMR_BAD_GEOMETRY),
	SUPER(spare_block, 4096, DMR_OK),
	SUPER(spare_block, 8192, DMR_BAD_GEOMETRY),
	SUPER(spare_block, UINT32_MAX, DMR_BAD_GEOMETRY),
	SUPER(copy_sector[0], 8, DMR_BAD_GEOMETRY),
	SUPER(copy_sector[2], 0, DMR_BAD_GEOMETRY),
	SUPER(copy_sector[4], SPARE, DMR_BAD_GEOMETRY),
	SUPER(copy_sector[4], UINT64_MAX, DMR_BAD_GEOMETRY),
	SUPER(table_capacity, 0, DMR_BAD_GEOMETRY),
	SUPER(table_capacity, 50, DMR_BAD_GEOMETRY),
	SUPER(table_capacity, UINT32_MAX, DMR_BAD_GEOMETRY),
	SUPER(table_blocks, 0, DMR_BAD_GEOMETRY),
	SUPER(table_blocks, 49, DMR_OK),
	SUPER(table_blocks, 50, DMR_BAD_GEOMETRY),
	SUPER(table_blocks, UINT32_MAX, DMR_BAD_GEOMETRY),
	SUPER(digest, 0, DMR_OK), /* only the tally can tell */
	SUPER(created, UINT64_MAX, DMR_OK),
	SUPER(repairs, UINT64_MAX, DMR_OK),
	SUPER(scrubs, UINT64_MAX, DMR_OK),
	SUPER(last_repair, UINT64_MAX, DMR_OK),
	SUPER(failed_copies, 0x1f, DMR_OK),
	SUPER(failed_copies, 0x20, DMR_BAD_STATE),
	SUPER(failed_copies, UINT32_MAX, DMR_BAD_STATE),
	SUPER(reserved0, 1, DMR_BAD_RESERVED),
	SUPER_BYTE(name, 0, 0, DMR_BAD_NAME), /* bytes behind the end */
	SUPER_BYTE(name, 0, '/', DMR_BAD_NAME),
	SUPER_BYTE(name, 3, 0x80, DMR_BAD_NAME),
	SUPER_BYTE(name, 5, 'x', DMR_BAD_NAME),
	SUPER_BYTE(name, 127, 'x', DMR_BAD_NAME),
	SUPER(main.sectors, UINT64_MAX, DMR_OK), /* a fact about a device, not a promise */
	SUPER(main.part_number, UINT32_MAX, DMR_OK),
	SUPER(main.reserved, 1, DMR_BAD_STRING),
	SUPER_BYTE(main.wwid, 0, '\n', DMR_OK), /* whoever prints it has to escape it */
	SUPER_BYTE(main.wwid, 1, 'x', DMR_BAD_STRING),
	SUPER_BYTE(main.wwid, 127, 'x', DMR_BAD_STRING),
	SUPER_BYTE(main.serial, 63, 'x', DMR_BAD_STRING),
	SUPER_BYTE(main.partuuid, 39, 'x', DMR_BAD_STRING),
	SUPER_BYTE(main.ptuuid, 39, 'x', DMR_BAD_STRING),
	SUPER_BYTE(main.fsuuid, 39, 'x', DMR_BAD_STRING),
	SUPER(spare.reserved, 1, DMR_BAD_STRING),
	SUPER_BYTE(spare.wwid, 1, 'x', DMR_BAD_STRING),
	SUPER_BYTE(spare.fsuuid, 1, 'x', DMR_BAD_STRING),
	SUPER_BYTE(reserved, 0, 1, DMR_BAD_RESERVED),
	SUPER_BYTE(reserved, 3079, 0x80, DMR_BAD_RESERVED),
};

static void super_validity(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(super_mutations); i++) {
		const struct mutation *m = &super_mutations[i];
		struct dmr_super s = good_super();
		enum dmr_fault fault;

		put(&s, m->offset, m->size, m->value);
		dmr_seal(&s);
		fault = dmr_super_check(&s, SPARE);
		if (fault != m->expected)
			fail_msg("%s: \"%s\" instead of \"%s\"", m->what, dmr_fault_text(fault),
				 dmr_fault_text(m->expected));
	}
}

static void super_strings_filled(void **state)
{
	struct dmr_super s = good_super();

	(void)state;
	memset(s.name, 'x', sizeof(s.name) - 1);
	memset(s.main.wwid, 'x', sizeof(s.main.wwid) - 1);
	memset(s.spare.fsuuid, 'x', sizeof(s.spare.fsuuid) - 1);
	dmr_seal(&s);
	assert_int_equal(dmr_super_check(&s, SPARE), DMR_OK);
	s.spare.fsuuid[sizeof(s.spare.fsuuid) - 1] = 'x';
	dmr_seal(&s);
	assert_int_equal(dmr_super_check(&s, SPARE), DMR_BAD_STRING);

	s = good_super();
	memset(s.name, 0, sizeof(s.name));
	dmr_seal(&s);
	assert_int_equal(dmr_super_check(&s, SPARE), DMR_OK);
	memcpy(s.name, "..", 2);
	dmr_seal(&s);
	assert_int_equal(dmr_super_check(&s, SPARE), DMR_BAD_NAME);
}

/* A spare of larger blocks than main cannot take main's blocks one by one. */
static void super_block_sizes(void **state)
{
	struct dmr_super s = super_of(SPARE, 512, 512);

	(void)state;
	assert_int_equal(dmr_super_check(&s, SPARE), DMR_OK);
	s.spare_block = cpu_to_le32(4096);
	dmr_seal(&s);
	assert_int_equal(dmr_super_check(&s, SPARE), DMR_BAD_GEOMETRY);
}

/* Bytes that are reserved here may mean something to whoever set an unknown feature bit. */
static void super_features(void **state)
{
	struct dmr_super s = good_super();

	(void)state;
	s.reserved[7] = 1;
	s.compat = cpu_to_le32(1);
	dmr_seal(&s);
	assert_int_equal(dmr_super_check(&s, SPARE), DMR_OK);
	assert_false(dmr_super_read_only(&s));

	s.compat = 0;
	s.ro_compat = cpu_to_le32(1);
	dmr_seal(&s);
	assert_int_equal(dmr_super_check(&s, SPARE), DMR_OK);
	assert_true(dmr_super_read_only(&s));

	/* Hands off comes before every other complaint. */
	s.incompat = cpu_to_le32(1);
	s.length = 0;
	dmr_seal(&s);
	assert_int_equal(dmr_super_check(&s, SPARE), DMR_BAD_FEATURE);
}

static void damaged_bits(void **state)
{
	struct dmr_super s = good_super();
	struct dmr_table t;
	unsigned int i;

	(void)state;
	dmr_table_init(&t, uuid_a, 1, 1);
	for (i = 0; i < DMR_BLOCK_SIZE; i++) {
		enum dmr_fault expected = i < 8 ? DMR_BAD_MAGIC : DMR_BAD_CHECKSUM;

		((__u8 *)&s)[i] ^= 1u << i % 8;
		assert_int_equal(dmr_super_check(&s, SPARE), expected);
		((__u8 *)&s)[i] ^= 1u << i % 8;

		((__u8 *)&t)[i] ^= 1u << i % 8;
		assert_int_equal(dmr_table_check(&t, &s, 1), expected);
		((__u8 *)&t)[i] ^= 1u << i % 8;
	}
	memset(&s, 0, sizeof(s));
	assert_int_equal(dmr_super_check(&s, SPARE), DMR_EMPTY);
	dmr_seal(&s);
	assert_int_equal(dmr_super_check(&s, SPARE), DMR_BAD_MAGIC);
	memset(&t, 0, sizeof(t));
	assert_int_equal(dmr_table_check(&t, &s, 1), DMR_EMPTY);
	memset(&s, 0xff, sizeof(s));
	assert_int_equal(dmr_super_check(&s, SPARE), DMR_BAD_MAGIC);
}

/* Table blocks */

/* Two extents in the first run of data of good_super(). */
static struct dmr_table good_table(const struct dmr_super *s)
{
	struct dmr_layout l = layout_of(le64_to_cpu(s->spare_sectors));
	__u64 data = dmr_copy_sectors(&l);
	struct dmr_table t;

	dmr_table_init(&t, uuid_a, 3, 5);
	assert_true(dmr_table_insert(&t, 800, data, 16, 0));
	assert_true(dmr_table_insert(&t, 1600, data + 100, 8, 0));
	dmr_seal(&t);
	return t;
}

#define TABLE(field, value, expected)                                               \
	{ #field " = " #value, offsetof(struct dmr_table, field),                   \
	  FIELD_SIZE(struct dmr_table, field), value, expected }

/* The first run of data of good_super() is [400, 16256), the last one ends the spare. */
static const struct mutation table_mutations[] = {
	TABLE(header.magic, DMR_MAGIC_SUPER, DMR_BAD_MAGIC),
	TABLE(header.uuid[0], 'x', DMR_BAD_UUID),
	TABLE(header.index, 0, DMR_BAD_INDEX),
	TABLE(header.index, 4, DMR_BAD_INDEX),
	TABLE(header.count, 1, DMR_BAD_RESERVED), /* the second entry is not in use */
	TABLE(header.count, 3, DMR_BAD_MAIN_RANGE), /* an entry of no sectors */
	TABLE(header.count, DMR_BLOCK_ENTRIES + 1, DMR_BAD_COUNT),
	TABLE(header.count, UINT32_MAX, DMR_BAD_COUNT),
	TABLE(header.generation, 0, DMR_BAD_GENERATION),
	TABLE(header.generation, 1ULL << 62, DMR_BAD_GENERATION),
	TABLE(header.generation, UINT64_MAX, DMR_BAD_GENERATION),
	TABLE(header.previous, 4, DMR_OK),
	TABLE(header.previous, 5, DMR_BAD_GENERATION),
	TABLE(header.previous, UINT64_MAX, DMR_BAD_GENERATION),
	TABLE(header.reserved, 1, DMR_BAD_RESERVED),
	TABLE(entry[0].flags, 1, DMR_BAD_FLAGS),
	TABLE(entry[1].flags, 1u << 31, DMR_BAD_FLAGS),
	TABLE(entry[2].flags, 1, DMR_BAD_RESERVED),
	TABLE(entry[2].main, 1, DMR_BAD_RESERVED),
	TABLE(entry[167].sectors, 1u << 31, DMR_BAD_RESERVED),
	TABLE(entry[0].main, 801, DMR_BAD_ALIGNMENT),
	TABLE(entry[0].main, 1600, DMR_BAD_ORDER),
	TABLE(entry[0].main, 1608, DMR_BAD_ORDER),
	TABLE(entry[0].main, 1592, DMR_BAD_ORDER), /* reaches into the next */
	TABLE(entry[0].main, 1584, DMR_OK), /* touches it */
	TABLE(entry[0].sectors, 0, DMR_BAD_MAIN_RANGE),
	TABLE(entry[0].sectors, 4, DMR_BAD_ALIGNMENT),
	TABLE(entry[0].sectors, 808, DMR_BAD_ORDER),
	TABLE(entry[0].sectors, UINT32_MAX, DMR_BAD_MAIN_RANGE),
	TABLE(entry[1].main, MAIN, DMR_BAD_MAIN_RANGE),
	TABLE(entry[1].main, MAIN - 4, DMR_BAD_MAIN_RANGE),
	TABLE(entry[1].main, MAIN - 8, DMR_OK),
	TABLE(entry[1].main, UINT64_MAX - 7, DMR_BAD_MAIN_RANGE), /* the end would be 0 */
	TABLE(entry[1].main, UINT64_MAX, DMR_BAD_MAIN_RANGE),
	TABLE(entry[1].sectors, UINT32_MAX - 7, DMR_BAD_MAIN_RANGE),
	TABLE(entry[1].sectors, 15856 - 96, DMR_BAD_SPARE_RANGE), /* one block too many */
	TABLE(entry[1].spare, 0, DMR_BAD_SPARE_RANGE),
	TABLE(entry[1].spare, 399, DMR_BAD_SPARE_RANGE),
	TABLE(entry[1].spare, 401, DMR_OK), /* the spare's block is 512 */
	TABLE(entry[1].spare, 16248, DMR_OK),
	TABLE(entry[1].spare, 16249, DMR_BAD_SPARE_RANGE),
	TABLE(entry[1].spare, 16256, DMR_BAD_SPARE_RANGE),
	TABLE(entry[1].spare, SPARE - 8, DMR_OK),
	TABLE(entry[1].spare, SPARE - 7, DMR_BAD_SPARE_RANGE),
	TABLE(entry[1].spare, SPARE, DMR_BAD_SPARE_RANGE),
	TABLE(entry[1].spare, UINT64_MAX - 7, DMR_BAD_SPARE_RANGE),
	TABLE(entry[1].spare, UINT64_MAX, DMR_BAD_SPARE_RANGE),
};

static void table_validity(void **state)
{
	struct dmr_super s = good_super();
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(table_mutations); i++) {
		const struct mutation *m = &table_mutations[i];
		struct dmr_table t = good_table(&s);
		enum dmr_fault fault;

		assert_int_equal(dmr_table_check(&t, &s, 3), DMR_OK);
		put(&t, m->offset, m->size, m->value);
		dmr_seal(&t);
		fault = dmr_table_check(&t, &s, 3);
		if (fault != m->expected)
			fail_msg("%s: \"%s\" instead of \"%s\"", m->what, dmr_fault_text(fault),
				 dmr_fault_text(m->expected));
	}
}

static void table_spare_alignment(void **state)
{
	struct dmr_super s = super_of(SPARE, 4096, 4096);
	struct dmr_table t = good_table(&s);

	(void)state;
	assert_int_equal(dmr_table_check(&t, &s, 3), DMR_BAD_ALIGNMENT); /* data + 100 */
	t.entry[1].spare = cpu_to_le64(le64_to_cpu(t.entry[1].spare) + 4);
	dmr_seal(&t);
	assert_int_equal(dmr_table_check(&t, &s, 3), DMR_OK);
}

static void overlap(void **state)
{
	static const struct {
		__u64 a, b;
		__u32 na, nb;
		bool expected;
	} rows[] = {
		{ 0, 8, 8, 8, false },
		{ 8, 0, 8, 8, false },
		{ 0, 7, 8, 8, true },
		{ 7, 0, 8, 8, true },
		{ 0, 0, 1, 1, true },
		{ 0, 100, UINT32_MAX, 1, true },
		{ 0, UINT32_MAX, UINT32_MAX, 1, false },
		{ UINT64_MAX - 1, 0, 8, 8, false },
		{ UINT64_MAX, UINT64_MAX, 1, 1, true },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct dmr_entry a = { .sectors = cpu_to_le32(rows[i].na) };
		struct dmr_entry b = { .sectors = cpu_to_le32(rows[i].nb) };

		a.main = cpu_to_le64(rows[i].a);
		b.main = cpu_to_le64(rows[i].b);
		b.spare = cpu_to_le64(1ULL << 40);
		assert_int_equal(dmr_entries_overlap(&a, &b, true), rows[i].expected);
		assert_false(dmr_entries_overlap(&a, &b, false));
		a.spare = b.spare;
		assert_true(dmr_entries_overlap(&a, &b, false));
	}
}

/* Inserting */

static void insert_sorted(void **state)
{
	static const __u64 order[] = { 40, 8, 72, 24, 56 };
	struct dmr_super s = super_of(SPARE, 512, 512);
	struct dmr_layout l = layout_of(SPARE);
	__u64 data = dmr_copy_sectors(&l);
	struct dmr_table t;
	size_t i;

	(void)state;
	dmr_table_init(&t, uuid_a, 1, 1);
	for (i = 0; i < ARRAY_SIZE(order); i++)
		assert_true(dmr_table_insert(&t, order[i], data + 16 * i, 8, 0));
	dmr_seal(&t);
	assert_int_equal(dmr_table_check(&t, &s, 1), DMR_OK);
	assert_int_equal(le32_to_cpu(t.header.count), ARRAY_SIZE(order));
	for (i = 0; i < ARRAY_SIZE(order); i++)
		assert_int_equal(le64_to_cpu(t.entry[i].main), 8 + 16 * i);
}

static void insert_joins(void **state)
{
	struct dmr_table t;

	(void)state;
	dmr_table_init(&t, uuid_a, 1, 1);
	assert_true(dmr_table_insert(&t, 1000, 5000, 8, 0));
	/* continues on both devices */
	assert_true(dmr_table_insert(&t, 1008, 5008, 16, 0));
	assert_int_equal(le32_to_cpu(t.header.count), 1);
	assert_int_equal(le32_to_cpu(t.entry[0].sectors), 24);
	/* on main only, on the spare only */
	assert_true(dmr_table_insert(&t, 1024, 6000, 8, 0));
	assert_true(dmr_table_insert(&t, 2000, 6008, 8, 0));
	assert_int_equal(le32_to_cpu(t.header.count), 3);
	/* between others: joins the one before */
	assert_true(dmr_table_insert(&t, 1032, 6008, 8, 0));
	assert_int_equal(le32_to_cpu(t.header.count), 3);
	assert_int_equal(le32_to_cpu(t.entry[1].sectors), 16);
	/* a length that would not fit its field */
	dmr_table_init(&t, uuid_a, 1, 1);
	assert_true(dmr_table_insert(&t, 0, 1000, UINT32_MAX - 7, 0));
	assert_true(dmr_table_insert(&t, UINT32_MAX - 7, 1000ULL + UINT32_MAX - 7, 8, 0));
	assert_int_equal(le32_to_cpu(t.header.count), 2);
}

static void assert_entry(const struct dmr_table *t, unsigned int at, __u64 main, __u64 spare,
			 __u32 sectors)
{
	assert_int_equal(le64_to_cpu(t->entry[at].main), main);
	assert_int_equal(le64_to_cpu(t->entry[at].spare), spare);
	assert_int_equal(le32_to_cpu(t->entry[at].sectors), sectors);
}

static void replace_cuts(void **state)
{
	struct dmr_table t;

	(void)state;
	dmr_table_init(&t, uuid_a, 1, 1);
	assert_true(dmr_table_insert(&t, 1000, 5000, 24, 0));
	assert_true(dmr_table_insert(&t, 2000, 6000, 8, 0));
	assert_true(dmr_table_holds(&t, 1008, 8));
	assert_false(dmr_table_holds(&t, 1020, 8)); /* half of it */
	assert_false(dmr_table_holds(&t, 992, 8));
	/* the middle, then a start, an end, and a whole entry */
	assert_true(dmr_table_replace(&t, 1008, 7000, 8, 0));
	assert_int_equal(le32_to_cpu(t.header.count), 4);
	assert_entry(&t, 0, 1000, 5000, 8);
	assert_entry(&t, 1, 1008, 7000, 8);
	assert_entry(&t, 2, 1016, 5016, 8);
	assert_entry(&t, 3, 2000, 6000, 8);
	assert_true(dmr_table_replace(&t, 1016, 7100, 4, 0));
	assert_true(dmr_table_replace(&t, 2004, 7200, 4, 0));
	assert_true(dmr_table_replace(&t, 1000, 7300, 8, 0));
	assert_int_equal(le32_to_cpu(t.header.count), 6);
	assert_entry(&t, 0, 1000, 7300, 8);
	assert_entry(&t, 2, 1016, 7100, 4);
	assert_entry(&t, 3, 1020, 5020, 4);
	assert_entry(&t, 4, 2000, 6000, 4);
	assert_entry(&t, 5, 2004, 7200, 4);
}

/* A block without data is an entry of its own until it was written. */
static void no_data(void **state)
{
	struct dmr_super s = super_of(SPARE, 512, 512);
	struct dmr_layout l = layout_of(SPARE);
	__u64 data = dmr_copy_sectors(&l);
	struct dmr_table t;
	unsigned int i;

	(void)state;
	dmr_table_init(&t, uuid_a, 1, 1);
	for (i = 0; i < 4; i++)
		assert_true(dmr_table_insert(&t, 100 + i, data + i, 1,
					     i == 1 || i == 2 ? DMR_ENTRY_NO_DATA : 0));
	assert_int_equal(le32_to_cpu(t.header.count), 4);
	dmr_seal(&t);
	assert_int_equal(dmr_table_check(&t, &s, 1), DMR_OK);
	assert_true(dmr_table_replace(&t, 101, data + 1, 1, 0));
	assert_int_equal(le32_to_cpu(t.header.count), 3);
	assert_int_equal(t.entry[0].flags, 0);
	assert_int_equal(le32_to_cpu(t.entry[1].flags), DMR_ENTRY_NO_DATA);
	/* one that had data can lose it, and no entry with data joins one without */
	assert_true(dmr_table_replace(&t, 101, data + 1, 1, DMR_ENTRY_NO_DATA));
	assert_true(dmr_table_insert(&t, 103 + 1, data + 4, 1, 0));
	assert_int_equal(le32_to_cpu(t.header.count), 4);
	assert_entry(&t, 3, 103, data + 3, 2);
	/* what is larger than a block */
	t.entry[3].flags = cpu_to_le32(DMR_ENTRY_NO_DATA);
	dmr_seal(&t);
	assert_int_equal(dmr_table_check(&t, &s, 1), DMR_BAD_FLAGS);
}

static void replace_full(void **state)
{
	struct dmr_table t, before;
	__u64 i;

	(void)state;
	dmr_table_init(&t, uuid_a, 1, 1);
	for (i = 0; i < DMR_BLOCK_ENTRIES - 1; i++)
		assert_true(dmr_table_insert(&t, i * 32, 5000 + i * 32, 24, 0));
	/* Room for one more entry, not for two. */
	before = t;
	assert_false(dmr_table_replace(&t, 8, 90000, 8, 0));
	assert_memory_equal(&t, &before, sizeof(t));
	assert_true(dmr_table_replace(&t, 0, 90000, 8, 0));
	assert_int_equal(le32_to_cpu(t.header.count), DMR_BLOCK_ENTRIES);
	before = t;
	assert_false(dmr_table_replace(&t, 32, 90008, 8, 0));
	assert_memory_equal(&t, &before, sizeof(t));
	/* A whole entry takes no room, also the last one. */
	assert_true(dmr_table_replace(&t, 0, 91000, 8, 0));
	assert_true(dmr_table_replace(&t, 166 * 32, 91008, 24, 0));
	assert_entry(&t, 0, 0, 91000, 8);
	assert_entry(&t, DMR_BLOCK_ENTRIES - 1, 166 * 32, 91008, 24);
}

/* A longer piece of the spare goes bad: its sectors move on one by one, to places in a row. */
static void replace_in_a_row(void **state)
{
	struct dmr_table t;
	__u64 i;

	(void)state;
	dmr_table_init(&t, uuid_a, 1, 1);
	for (i = 0; i < DMR_BLOCK_ENTRIES - 2; i++)
		assert_true(dmr_table_insert(&t, i * 32, 5000 + i * 32, 24, 0));
	for (i = 0; i < 16; i++)
		assert_true(dmr_table_replace(&t, 32 + 4 + i, 90000 + i, 1, 0));
	assert_int_equal(le32_to_cpu(t.header.count), DMR_BLOCK_ENTRIES);
	assert_entry(&t, 1, 32, 5032, 4);
	assert_entry(&t, 2, 36, 90000, 16);
	assert_entry(&t, 3, 52, 5052, 4);
	assert_entry(&t, 4, 64, 5064, 24);
	/* up to the end of the entry, which is gone then */
	assert_true(dmr_table_replace(&t, 52, 90016, 4, 0));
	assert_int_equal(le32_to_cpu(t.header.count), DMR_BLOCK_ENTRIES - 1);
	assert_entry(&t, 2, 36, 90000, 20);
	assert_entry(&t, 3, 64, 5064, 24);
	assert_entry(&t, DMR_BLOCK_ENTRIES - 1, 0, 0, 0);
}

static void insert_full(void **state)
{
	struct dmr_table t, before;
	__u64 i;

	(void)state;
	dmr_table_init(&t, uuid_a, 1, 1);
	for (i = DMR_BLOCK_ENTRIES; i > 0; i--)
		assert_true(dmr_table_insert(&t, i * 16, 1000 + i * 16, 8, 0));
	before = t;
	assert_false(dmr_table_insert(&t, 8, 9000, 8, 0));
	assert_false(dmr_table_insert(&t, 1 << 20, 9000, 8, 0));
	assert_memory_equal(&t, &before, sizeof(t));
	/* What joins takes no room. */
	assert_true(dmr_table_insert(&t, 24, 1024, 8, 0));
	assert_int_equal(le32_to_cpu(t.header.count), DMR_BLOCK_ENTRIES);
	assert_int_equal(le32_to_cpu(t.entry[0].sectors), 16);
}

/* Election */

struct seat {
	char set; /* 'A', 'B', 'C', or 0: no valid superblock */
	__u64 generation;
	char variant; /* anything that makes the bytes differ */
	__u32 failed;
};

struct election {
	const char *what;
	struct seat seat[DMR_COPIES];
	char wanted;
	int winner;
	enum dmr_fault fault[DMR_COPIES];
};

#define OK DMR_OK
#define NO DMR_BAD_CHECKSUM
#define OLD DMR_STALE
#define DIFFERS DMR_SPLIT
#define OTHER DMR_BAD_UUID

static const struct election elections[] = {
	{ "all the same", { { 'A', 7 }, { 'A', 7 }, { 'A', 7 }, { 'A', 7 }, { 'A', 7 } },
	  0, 0, { OK, OK, OK, OK, OK } },
	{ "none", { { 0 } }, 0, -1, { NO, NO, NO, NO, NO } },
	{ "none, though one is wanted", { { 0 } }, 'A', -1, { NO, NO, NO, NO, NO } },
	{ "one is left", { { 0 }, { 0 }, { 0 }, { 'A', 7 }, { 0 } }, 0, 3, { NO, NO, NO, OK, NO } },
	{ "the newest wins", { { 'A', 6 }, { 'A', 6 }, { 'A', 7 }, { 'A', 6 }, { 'A', 7 } },
	  0, 2, { OLD, OLD, OK, OLD, OK } },
	{ "one newest is enough", { { 'A', 6 }, { 'A', 6 }, { 'A', 6 }, { 'A', 6 }, { 'A', 7 } },
	  0, 4, { OLD, OLD, OLD, OLD, OK } },
	{ "the set of most", { { 'B', 9 }, { 'A', 7 }, { 'A', 6 }, { 'A', 7 }, { 'B', 9 } },
	  0, 1, { OTHER, OK, OLD, OK, OTHER } },
	{ "the set that is wanted", { { 'B', 9 }, { 'A', 7 }, { 'A', 6 }, { 'A', 7 }, { 'B', 8 } },
	  'B', 0, { OK, OTHER, OTHER, OTHER, OLD } },
	{ "not the set that is wanted", { { 'A', 7 }, { 'A', 7 }, { 'A', 7 }, { 'A', 7 }, { 'A', 7 } },
	  'B', -1, { OTHER, OTHER, OTHER, OTHER, OTHER } },
	{ "two sets tie", { { 'A', 7 }, { 'B', 9 }, { 0 }, { 'B', 9 }, { 'A', 7 } },
	  0, -1, { OTHER, OTHER, NO, OTHER, OTHER } },
	{ "two sets tie, one is wanted", { { 'A', 7 }, { 'B', 9 }, { 0 }, { 'B', 9 }, { 'A', 7 } },
	  'A', 0, { OK, OTHER, NO, OTHER, OK } },
	{ "three sets tie", { { 'A', 7 }, { 'B', 9 }, { 'C', 8 }, { 0 }, { 0 } },
	  0, -1, { OTHER, OTHER, OTHER, NO, NO } },
	{ "two sets tie below a third", { { 'A', 1 }, { 'B', 1 }, { 'C', 1 }, { 'C', 1 }, { 'B', 1 } },
	  0, -1, { OTHER, OTHER, OTHER, OTHER, OTHER } },
	{ "a tie that a third set breaks", { { 'A', 1 }, { 'B', 1 }, { 'C', 1 }, { 'C', 1 }, { 0 } },
	  0, 2, { OTHER, OTHER, OK, OK, NO } },
	{ "equal generation, other bytes", { { 'A', 7 }, { 'A', 7, 'x' }, { 'A', 6 }, { 0 }, { 0 } },
	  0, -1, { OK, DIFFERS, OLD, NO, NO } },
	{ "four against one", { { 'A', 7 }, { 'A', 7, 'x' }, { 'A', 7 }, { 'A', 7 }, { 'A', 7 } },
	  0, -1, { OK, DIFFERS, OK, OK, OK } },
	{ "an old quarrel", { { 'A', 6, 'x' }, { 'A', 6, 'y' }, { 'A', 7 }, { 0 }, { 0 } },
	  0, 2, { OLD, OLD, OK, NO, NO } },
	{ "the one that could not be written", { { 'A', 7 }, { 'A', 7, 0, 1 }, { 'A', 7, 0, 1 }, { 0 }, { 0 } },
	  0, 1, { OLD, OK, OK, NO, NO } },
	{ "the same, seen later", { { 'A', 7, 0, 16 }, { 'A', 7, 0, 16 }, { 0 }, { 0 }, { 'A', 7 } },
	  0, 0, { OK, OK, NO, NO, OLD } },
	{ "each disowns the other", { { 'A', 7, 0, 2 }, { 'A', 7, 0, 1 }, { 0 }, { 0 }, { 0 } },
	  0, -1, { OK, DIFFERS, NO, NO, NO } },
	/* Disowning the first settles nothing between the second and the third. */
	{ "one disowned, two that differ", { { 'A', 7 }, { 'A', 7, 'x' }, { 'A', 7, 0, 1 }, { 0 }, { 0 } },
	  0, -1, { OLD, OK, DIFFERS, NO, NO } },
	{ "the same in another order", { { 'A', 7, 'x' }, { 'A', 7, 0, 4 }, { 'A', 7 }, { 0 }, { 0 } },
	  0, -1, { OK, DIFFERS, OLD, NO, NO } },
	{ "disowned in a ring", { { 'A', 7, 0, 2 }, { 'A', 7, 0, 4 }, { 'A', 7, 0, 1 }, { 0 }, { 0 } },
	  0, -1, { OLD, OLD, OLD, NO, NO } },
	{ "a failed copy is all there is", { { 0 }, { 0 }, { 'A', 5, 0, 4 }, { 0 }, { 0 } },
	  0, 2, { NO, NO, OK, NO, NO } },
};

static struct dmr_super sit(const struct seat *seat)
{
	struct dmr_super s = good_super();

	s.header.uuid[4] = seat->set;
	s.header.generation = cpu_to_le64(seat->generation);
	s.created = cpu_to_le64(seat->variant);
	s.failed_copies = cpu_to_le32(seat->failed);
	dmr_seal(&s);
	if (!seat->set)
		s.checksum = 0;
	return s;
}

static void run_election(const struct election *e)
{
	struct dmr_super s[DMR_COPIES];
	const struct dmr_super *p[DMR_COPIES];
	enum dmr_fault fault[DMR_COPIES];
	int winner, i;

	for (i = 0; i < DMR_COPIES; i++) {
		s[i] = sit(&e->seat[i]);
		p[i] = &s[i];
		fault[i] = dmr_super_check(&s[i], SPARE);
	}
	winner = dmr_super_elect(p, fault,
				 !e->wanted ? NULL : e->wanted == 'A' ? uuid_a : uuid_b);
	if (winner != e->winner)
		fail_msg("%s: copy %d won instead of %d", e->what, winner, e->winner);
	for (i = 0; i < DMR_COPIES; i++)
		if (fault[i] != e->fault[i])
			fail_msg("%s: copy %d: \"%s\" instead of \"%s\"", e->what, i,
				 dmr_fault_text(fault[i]), dmr_fault_text(e->fault[i]));
}

static void election(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(elections); i++)
		run_election(&elections[i]);
}

/* The vote */

struct instance {
	__u64 generation; /* 0: none that is valid */
	__u64 previous;
	char variant;
};

struct ballot {
	const char *what;
	struct instance instance[DMR_COPIES];
	__u32 failed;
	struct dmr_vote expected;
};

static const struct ballot ballots[] = {
	{ "none", { { 0 } }, 0, { .valid = 0 } },
	{ "all the same", { { 5, 3 }, { 5, 3 }, { 5, 3 }, { 5, 3 }, { 5, 3 } }, 0,
	  { 5, 3, 0, 0x1f, 0x1f, true, false } },
	{ "two are stale", { { 5, 3 }, { 3, 1 }, { 5, 3 }, { 3, 1 }, { 5, 3 } }, 0,
	  { 5, 3, 0, 0x1f, 0x15, true, false } },
	{ "one is current", { { 3, 1 }, { 3, 1 }, { 0 }, { 5, 3 }, { 3, 1 } }, 0,
	  { 5, 3, 0, 0x1b, 0x08, true, false } },
	{ "equal generation, other bytes", { { 5, 3 }, { 5, 3, 'x' }, { 5, 3 }, { 0 }, { 0 } }, 0,
	  { 5, 3, 0, 0x07, 0, true, true } },
	{ "an old quarrel", { { 4, 3 }, { 4, 3, 'x' }, { 5, 3 }, { 0 }, { 0 } }, 0,
	  { 5, 3, 0, 0x07, 0x04, true, false } },
	{ "a failed copy is not believed", { { 9, 8 }, { 5, 3 }, { 5, 3 }, { 3, 1 }, { 0 } }, 0x01,
	  { 5, 3, 0, 0x0f, 0x06, true, false } },
	{ "nor does it make a quarrel", { { 5, 3, 'x' }, { 5, 3 }, { 5, 3 }, { 0 }, { 0 } }, 0x01,
	  { 5, 3, 0, 0x07, 0x06, true, false } },
	{ "a failed copy is right", { { 5, 3 }, { 5, 3 }, { 0 }, { 0 }, { 0 } }, 0x01,
	  { 5, 3, 0, 0x03, 0x03, true, false } },
	{ "a failed copy is right, another is newer",
	  { { 5, 3 }, { 6, 5 }, { 5, 3 }, { 5, 3 }, { 0 } }, 0x03,
	  { 5, 3, 0, 0x0f, 0x0d, true, false } },
	{ "a failed copy is all there is", { { 0 }, { 0 }, { 0 }, { 0 }, { 5, 3 } }, 0x10,
	  { 5, 3, 0, 0x10, 0x10, false, false } },
	{ "all failed", { { 5, 3 }, { 4, 3 }, { 5, 3 }, { 0 }, { 0 } }, 0x1f,
	  { 5, 3, 0, 0x07, 0x05, false, false } },
	{ "all failed, and differ", { { 5, 3 }, { 5, 3, 'x' }, { 0 }, { 0 }, { 0 } }, 0x1f,
	  { 5, 3, 0, 0x03, 0, false, true } },
};

static void run_ballot(const struct ballot *b, const int order[DMR_COPIES])
{
	struct dmr_super s = good_super();
	const struct dmr_vote *e = &b->expected;
	struct dmr_table kept = { 0 };
	struct dmr_vote v;
	int i;

	s.failed_copies = cpu_to_le32(b->failed);
	dmr_seal(&s);
	dmr_vote_init(&v);
	for (i = 0; i < DMR_COPIES; i++) {
		const struct instance *instance = &b->instance[order[i]];
		struct dmr_table t;

		if (!instance->generation)
			continue;
		dmr_table_init(&t, uuid_a, 1, instance->generation);
		t.header.previous = cpu_to_le64(instance->previous);
		if (instance->variant)
			dmr_table_insert(&t, 0, 400, 8, 0);
		dmr_seal(&t);
		assert_int_equal(dmr_table_check(&t, &s, 1), DMR_OK);
		if (dmr_vote_add(&v, &s, order[i], &t))
			kept = t;
	}
	if (v.generation != e->generation || v.previous != e->previous || v.valid != e->valid ||
	    v.trusted != e->trusted || v.split != e->split ||
	    (!e->split && v.holders != e->holders))
		fail_msg("%s: generation %d, previous %d, valid %#x, holders %#x, trusted %d, split %d",
			 b->what, (int)v.generation, (int)v.previous, v.valid, v.holders, v.trusted,
			 v.split);
	/* Whoever keeps what the vote says to keep ends with the winner. */
	assert_int_equal(kept.header.generation, cpu_to_le64(v.generation));
	assert_int_equal(le64_to_cpu(kept.checksum), v.checksum);
}

/* In every order in which the five can come. */
static void run_orders(const struct ballot *b, int order[DMR_COPIES], int fixed)
{
	int i, swap;

	if (fixed == DMR_COPIES) {
		run_ballot(b, order);
		return;
	}
	for (i = fixed; i < DMR_COPIES; i++) {
		swap = order[fixed], order[fixed] = order[i], order[i] = swap;
		run_orders(b, order, fixed + 1);
		swap = order[fixed], order[fixed] = order[i], order[i] = swap;
	}
}

static void vote(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(ballots); i++) {
		int order[DMR_COPIES] = { 0, 1, 2, 3, 4 };

		run_orders(&ballots[i], order, 0);
	}
}

/* The tally: a set of three table blocks, last committed as generation 10. */

#define BLOCKS 3

struct count {
	const char *what;
	struct {
		__u64 committed; /* what the superblock counted */
		__u64 generation, previous; /* what the vote found; 0 = nothing */
		bool split;
	} block[BLOCKS];
	enum dmr_fault verdict;
	bool tail;
	__u64 newest;
};

static const struct count counts[] = {
	{ "as committed", { { 10, 10, 4 }, { 1, 1, 0 }, { 7, 7, 1 } }, DMR_OK, false, 10 },
	{ "a block without instance", { { 10, 10, 4 }, { 1 }, { 7, 7, 1 } }, DMR_LOST, false, 10 },
	{ "a block rolled back", { { 10, 4, 1 }, { 1, 1, 0 }, { 7, 7, 1 } }, DMR_LOST, false, 10 },
	{ "rolled back to empty", { { 10, 10, 4 }, { 1, 1, 0 }, { 7, 1, 0 } }, DMR_LOST, false, 10 },
	{ "a block that differs", { { 10, 10, 4 }, { 1, 1, 0, true }, { 7, 7, 1 } }, DMR_SPLIT, false, 10 },
	{ "a tail", { { 10, 11, 10 }, { 1, 1, 0 }, { 7, 7, 1 } }, DMR_OK, true, 11 },
	{ "a tail in two blocks", { { 10, 12, 10 }, { 1, 12, 1 }, { 7, 7, 1 } }, DMR_OK, true, 12 },
	{ "a tail over a rollback", { { 10, 11, 4 }, { 1, 1, 0 }, { 7, 7, 1 } }, DMR_LOST, true, 11 },
	{ "a tail beside a rollback", { { 10, 11, 10 }, { 1, 1, 0 }, { 7, 1, 0 } }, DMR_LOST, true, 11 },
	{ "a tail over a tail", { { 10, 12, 11 }, { 1, 1, 0 }, { 7, 7, 1 } }, DMR_LOST, true, 12 },
	{ "a tail that differs", { { 10, 11, 10, true }, { 1, 1, 0 }, { 7, 7, 1 } }, DMR_SPLIT, true, 11 },
	{ "a stranger below", { { 10, 9, 4 }, { 1, 1, 0 }, { 7, 7, 1 } }, DMR_LOST, false, 10 },
	{ "two blocks exchanged", { { 10, 7, 1 }, { 1, 1, 0 }, { 7, 10, 4 } }, DMR_LOST, false, 10 },
};

static void run_count(const struct count *c, bool backwards)
{
	struct dmr_super s = good_super();
	struct dmr_tally tally;
	__u64 committed = 0, adopted = 0;
	__u32 i;

	for (i = 0; i < BLOCKS; i++) {
		committed += dmr_digest(i + 1, c->block[i].committed);
		adopted += dmr_digest(i + 1, c->block[i].generation);
	}
	s.header.generation = cpu_to_le64(10);
	s.digest = cpu_to_le64(committed);
	dmr_seal(&s);

	dmr_tally_init(&tally, &s);
	for (i = 0; i < BLOCKS; i++) {
		__u32 n = backwards ? BLOCKS - 1 - i : i;
		struct dmr_vote v;

		dmr_vote_init(&v);
		v.generation = c->block[n].generation;
		v.previous = c->block[n].previous;
		v.valid = v.generation ? 0x1f : 0;
		v.holders = v.valid;
		v.trusted = true;
		v.split = c->block[n].split;
		dmr_tally_add(&tally, &s, n + 1, &v);
	}
	if (dmr_tally_verdict(&tally, &s) != c->verdict || tally.tail != c->tail ||
	    tally.newest != c->newest)
		fail_msg("%s: \"%s\", tail %d, newest %d", c->what,
			 dmr_fault_text(dmr_tally_verdict(&tally, &s)), tally.tail,
			 (int)tally.newest);
	assert_int_equal(tally.adopted, adopted);
}

/* A block of generation @generation with @entries entries, read from behind a table of generation 10. */
static enum dmr_fault verdict_with_behind(const __u8 *uuid, __u64 generation, __u32 entries,
					  bool torn)
{
	struct dmr_super s = good_super();
	__u32 blocks = le32_to_cpu(s.table_blocks) / 2;
	struct dmr_layout l = layout_of(SPARE);
	struct dmr_tally tally;
	struct dmr_table t;
	__u64 place;
	__u32 i;

	s.header.generation = cpu_to_le64(10);
	s.table_blocks = cpu_to_le32(blocks);
	s.digest = 0;
	dmr_data_run(&l, 0, &place);
	dmr_table_init(&t, uuid, blocks + 1, generation);
	for (i = 0; i < entries; i++)
		assert_true(dmr_table_insert(&t, 16 * i, place + 16 * i, 8, 0));
	dmr_seal(&t);
	t.checksum ^= cpu_to_le64(torn);

	dmr_tally_init(&tally, &s);
	dmr_tally_behind(&tally, &s, &t);
	return dmr_tally_verdict(&tally, &s);
}

static void behind(void **state)
{
	(void)state;
	assert_int_equal(verdict_with_behind(uuid_a, 11, 1, false), DMR_LOST);
	assert_int_equal(verdict_with_behind(uuid_a, 12, 168, false), DMR_LOST);
	/* a growth that was cut short */
	assert_int_equal(verdict_with_behind(uuid_a, 11, 0, false), DMR_OK);
	/* left by an earlier set, of the same UUID or another */
	assert_int_equal(verdict_with_behind(uuid_a, 10, 1, false), DMR_OK);
	assert_int_equal(verdict_with_behind(uuid_b, 11, 1, false), DMR_OK);
	assert_int_equal(verdict_with_behind(uuid_a, 11, 1, true), DMR_OK);
}

static void tally(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		run_count(&counts[i], false);
		run_count(&counts[i], true);
	}
}

static void digest(void **state)
{
	(void)state;
	assert_true(dmr_digest(1, 2) == dmr_digest(1, 2));
	assert_true(dmr_digest(1, 2) != dmr_digest(2, 1));
	assert_true(dmr_digest(1, 2) != dmr_digest(1, 3));
	assert_true(dmr_digest(1, 2) + dmr_digest(2, 3) != dmr_digest(1, 3) + dmr_digest(2, 2));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(layout),
		cmocka_unit_test(layout_refused),
		cmocka_unit_test(layout_example),
		cmocka_unit_test(known_answers),
		cmocka_unit_test(names),
		cmocka_unit_test(fault_texts),
		cmocka_unit_test(new_set),
		cmocka_unit_test(super_validity),
		cmocka_unit_test(super_strings_filled),
		cmocka_unit_test(super_block_sizes),
		cmocka_unit_test(super_features),
		cmocka_unit_test(damaged_bits),
		cmocka_unit_test(table_validity),
		cmocka_unit_test(table_spare_alignment),
		cmocka_unit_test(overlap),
		cmocka_unit_test(insert_sorted),
		cmocka_unit_test(insert_joins),
		cmocka_unit_test(replace_cuts),
		cmocka_unit_test(no_data),
		cmocka_unit_test(replace_full),
		cmocka_unit_test(replace_in_a_row),
		cmocka_unit_test(insert_full),
		cmocka_unit_test(election),
		cmocka_unit_test(vote),
		cmocka_unit_test(tally),
		cmocka_unit_test(behind),
		cmocka_unit_test(digest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
