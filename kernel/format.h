/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bytes on a spare: structures, geometry, validity and voting.
 *
 * This is the one truth about the format, compiled into the module and into
 * dmremap. It is pure: no I/O, no allocation, no locking. docs/format.md says the
 * same for somebody who writes a reader of their own.
 *
 * A spare holds five copies of one superblock and one table. Blocks are 4 KiB,
 * little-endian, and identical in every copy: a block knows its index, not its
 * copy. Sectors are 512 bytes throughout. Block index 0 is the superblock, index
 * n + 1 is table block n.
 */
#ifndef DMR_FORMAT_H
#define DMR_FORMAT_H

#include <linux/types.h>

#ifdef __KERNEL__
#include <linux/build_bug.h>
#else
#include <assert.h>
#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#define le32_to_cpu(x) le32toh(x)
#define le64_to_cpu(x) le64toh(x)
#define cpu_to_le32(x) htole32(x)
#define cpu_to_le64(x) htole64(x)
#ifndef __packed
#define __packed __attribute__((__packed__))
#endif
#endif

#define DMR_COPIES        5
#define DMR_ALL_COPIES    ((1u << DMR_COPIES) - 1) /* bit per copy */
#define DMR_SAFE_COPIES   2 /* of these that must hold a remap before a write is acknowledged */
#define DMR_SECTOR_SIZE   512
#define DMR_BLOCK_SIZE    4096
#define DMR_BLOCK_SECTORS 8 /* sectors per metadata block */
#define DMR_BLOCK_ENTRIES 168 /* remap entries per table block */
#define DMR_TABLE_STEP    64 /* the initialised part of the table grows by this many blocks */
#define DMR_MIN_SECTORS   2048 /* smallest spare: 1 MiB */
#define DMR_MAX_SECTORS   0x1000000000000ULL /* largest main or spare: 2^48, far from overflow */
#define DMR_MAGIC_SUPER   0x3153504d45524d44ULL /* "DMREMPS1" */
#define DMR_MAGIC_TABLE   0x3154504d45524d44ULL /* "DMREMPT1" */
#define DMR_UUID_SIZE     16
#define DMR_NAME_SIZE     128 /* with its NUL; DM_NAME_LEN */

/* Feature bits that this code knows. None exist yet. */
#define DMR_COMPAT_KNOWN    0u /* unknown ones: ignore */
#define DMR_RO_COMPAT_KNOWN 0u /* unknown ones: read only */
#define DMR_INCOMPAT_KNOWN  0u /* unknown ones: hands off */

/* What stands at the start of every metadata block. */
struct dmr_header {
	__le64 magic; /* DMR_MAGIC_* */
	__u8 uuid[DMR_UUID_SIZE]; /* of the set, as uuid_t / RFC 4122 bytes */
	__le32 index; /* block index within a copy; 0 = superblock */
	__le32 count; /* table block: entries in use; superblock: 0 */
	__le64 generation; /* commit that wrote this block */
	__le64 previous; /* generation of the block this one replaced; 0 = none */
	__le64 reserved; /* 0 */
} __packed;

/*
 * Nobody comes to this by counting, so no writer goes on from there. A reader takes generations up
 * to twice this: room for every later commit, and for those that an activation skips.
 */
#define DMR_LAST_GENERATION 0x2000000000000000ULL

/* One extent: @sectors of main from @main live at @spare on the spare. */
struct dmr_entry {
	__le64 main; /* first sector on main */
	__le64 spare; /* first sector on spare */
	__le32 sectors; /* length, > 0 */
	__le32 flags; /* DMR_ENTRY_* */
} __packed;

/*
 * What was on an earlier spare could not be read when the set moved to this one: there is nothing
 * to be read before it was written. Such an entry is one block of main.
 */
#define DMR_ENTRY_NO_DATA 1u

struct dmr_table {
	struct dmr_header header;
	struct dmr_entry entry[DMR_BLOCK_ENTRIES]; /* sorted by main; unused ones are zero */
	__le64 checksum; /* xxh64, seed 0, of all bytes before it */
} __packed;

/*
 * How to recognise a device again. Strings are NUL-padded and NUL-terminated,
 * empty when the fact was not to be had. They come from the outside world: escape
 * them before printing.
 */
struct dmr_identity {
	__le64 sectors; /* size of the device */
	__le32 part_number; /* partition number, 0 = whole device */
	__le32 reserved; /* 0 */
	char wwid[128];
	char serial[64];
	char partuuid[40];
	char ptuuid[40]; /* identifier of the partition table it is in or has */
	char fsuuid[40]; /* main only: filesystem found when the set was made */
} __packed;

enum dmr_state {
	DMR_STATE_CLEAN = 0, /* this spare is the truth about its set */
	DMR_STATE_MIGRATING = 1, /* still the truth; being copied to another spare */
	DMR_STATE_SUPERSEDED = 2, /* spare peer_uuid took over; never assemble */
	DMR_STATE_INCOMING = 3, /* being filled; peer_uuid is the truth until superseded */
};

struct dmr_super {
	struct dmr_header header;
	__le32 compat;
	__le32 ro_compat;
	__le32 incompat;
	__le32 state; /* enum dmr_state */
	__le64 length; /* sectors of main that are mapped, from sector 0 */
	__le64 spare_sectors; /* size of the spare that the layout was made for */
	__le32 main_block; /* logical block size of main, bytes: the unit of every extent */
	__le32 spare_block; /* logical block size of spare, bytes */
	__le64 copy_sector[DMR_COPIES]; /* where each copy starts on spare */
	__le32 table_capacity; /* table blocks there is room for in each copy */
	__le32 table_blocks; /* table blocks initialised so far; the rest is not read */
	__le64 digest; /* sum of dmr_digest() over the initialised table blocks */
	__le64 created; /* seconds since 1970 */
	__le64 repairs; /* metadata repairs so far */
	__le64 scrubs; /* complete scrubs so far */
	__le64 last_repair; /* seconds since 1970, 0 = never */
	__le32 failed_copies; /* bit n: copy n could not be written and may be out of date */
	__le32 reserved0; /* 0 */
	__u8 spare_uuid[DMR_UUID_SIZE]; /* of this spare, as opposed to its set */
	/* the other spare, see state; until superseded that which it took over from, or 0 */
	__u8 peer_uuid[DMR_UUID_SIZE];
	char name[DMR_NAME_SIZE]; /* of the set, NUL-padded; empty = none given */
	struct dmr_identity main;
	struct dmr_identity spare;
	__u8 reserved[3080]; /* 0 */
	__le64 checksum; /* xxh64, seed 0, of all bytes before it */
} __packed;

static_assert(sizeof(struct dmr_header) == 56, "header");
static_assert(sizeof(struct dmr_entry) == 24, "entry");
static_assert(sizeof(struct dmr_identity) == 328, "identity");
static_assert(sizeof(struct dmr_table) == DMR_BLOCK_SIZE, "table block");
static_assert(sizeof(struct dmr_super) == DMR_BLOCK_SIZE, "superblock");

/* Why a block, or a whole set, is not to be used. dmr_fault_text() says it in words. */
enum dmr_fault {
	DMR_OK = 0,
	DMR_UNREADABLE, /* the device would not give it (set by callers) */
	DMR_EMPTY, /* all zero */
	DMR_BAD_MAGIC,
	DMR_BAD_CHECKSUM,
	DMR_BAD_FEATURE, /* unknown incompat bits */
	DMR_BAD_RESERVED,
	DMR_BAD_UUID, /* of another set */
	DMR_BAD_INDEX, /* not where it says it belongs */
	DMR_BAD_GENERATION,
	DMR_BAD_STATE,
	DMR_BAD_GEOMETRY, /* recorded places are not those of the recorded size */
	DMR_BAD_NAME,
	DMR_BAD_STRING, /* an identity string without end, or with bytes behind it */
	DMR_TRUNCATED, /* the spare is smaller than recorded */
	DMR_BAD_COUNT,
	DMR_BAD_ORDER, /* entries unsorted or overlapping on main */
	DMR_BAD_MAIN_RANGE,
	DMR_BAD_SPARE_RANGE, /* outside the spare, or inside the metadata */
	DMR_BAD_ALIGNMENT,
	DMR_BAD_FLAGS,
	DMR_OVERLAP_MAIN, /* extents of different blocks overlap on main */
	DMR_OVERLAP_SPARE,
	DMR_STALE, /* valid, but another copy is newer */
	DMR_SPLIT, /* equal generation, different content */
	DMR_LOST, /* no current instance in any copy */
	DMR_TOO_SMALL, /* no room for five copies and data */
	DMR_FAULTS,
};

/* A short phrase, e.g. "checksum does not match"; never NULL. */
const char *dmr_fault_text(enum dmr_fault fault);

/*
 * Where things are on a spare. Derived from the size alone; valid superblocks
 * record the same and are refused if they differ.
 */
struct dmr_layout {
	__u64 sectors; /* of spare */
	__u64 copy_sector[DMR_COPIES]; /* ascending; copy 0 starts the device, copy 4 ends it */
	__u32 table_capacity; /* table blocks per copy */
};

/* Fill @l for a spare of @sectors. DMR_TOO_SMALL if it can't hold a set. */
enum dmr_fault dmr_layout_init(struct dmr_layout *l, __u64 sectors);

/* Sector of block @index (0 = superblock) of @copy. */
__u64 dmr_block_sector(const struct dmr_layout *l, unsigned int copy, __u32 index);

/* Sectors of one copy. */
__u64 dmr_copy_sectors(const struct dmr_layout *l);

/*
 * The first run of replacement sectors at or after @from: its start in @start, its
 * length returned, 0 if there is none.
 */
__u64 dmr_data_run(const struct dmr_layout *l, __u64 from, __u64 *start);

/* Replacement sectors in all. */
__u64 dmr_data_sectors(const struct dmr_layout *l);

/* Replacement sectors from @from on. */
__u64 dmr_data_left(const struct dmr_layout *l, __u64 from);

/* True if [@sector, @sector + @count) holds replacement sectors only. */
bool dmr_is_data(const struct dmr_layout *l, __u64 sector, __u64 count);

/* True if @name may be a set's name: 1-127 of [A-Za-z0-9#+.:=@_-], not "." or "..". */
bool dmr_name_valid(const char *name);

/* What a new set needs to know. */
struct dmr_new {
	const __u8 *uuid;
	const __u8 *spare_uuid;
	const char *name; /* valid, or "" */
	__u64 length; /* sectors of main */
	__u32 main_block, spare_block; /* bytes */
	__u64 created; /* seconds since 1970 */
	__u64 generation; /* larger than that of anything the spare held before; else 1 */
};

/*
 * Make the superblock of a new, empty set, sealed. The identities
 * hold sizes only: fill them in and seal again. The first
 * le32_to_cpu(s->table_blocks) table blocks must be initialised with
 * dmr_table_init() and be stable before any superblock is written.
 */
void dmr_super_init(struct dmr_super *s, const struct dmr_layout *l, const struct dmr_new *n);

/*
 * The same of an empty spare that is to be filled from the one of @ours, of the same set.
 * @spare_block and @generation as in struct dmr_new. The identity of main is there; that of the
 * spare holds its size only.
 */
void dmr_super_incoming(struct dmr_super *s, const struct dmr_layout *l,
			const struct dmr_super *ours, const __u8 *spare_uuid, __u32 spare_block,
			__u64 generation);

/* Make table block @index (>= 1) of set @uuid, without entries, sealed. */
void dmr_table_init(struct dmr_table *t, const __u8 *uuid, __u32 index, __u64 generation);

/* Put the checksum on a block of either kind that was changed. */
void dmr_seal(void *block);

/*
 * Check one superblock read from a spare of @device_sectors. Needs nothing but the
 * block; trusts nothing in it. DMR_BAD_FEATURE means a newer format: never write
 * to such a spare.
 */
enum dmr_fault dmr_super_check(const struct dmr_super *s, __u64 device_sectors);

/*
 * The size of the spare that a block from a superblock's place tells of, valid or not: one that was torn
 * while it was written still does. 0 if it is no superblock. To be tried, not believed.
 */
__u64 dmr_super_hint(const struct dmr_super *s);

/* Check one table block that was read from the place of @index, against a valid superblock. */
enum dmr_fault dmr_table_check(const struct dmr_table *t, const struct dmr_super *s, __u32 index);

/* True if the set may only be opened read-only: unknown ro_compat features. */
bool dmr_super_read_only(const struct dmr_super *s);

/* What table block @index of @generation adds (modulo 2^64) to a superblock's digest. */
__u64 dmr_digest(__u32 index, __u64 generation);

/*
 * Check extents of different blocks against each other: once sorted by main (@by_main
 * true), once by spare. Stateless: call for each pair of neighbours.
 */
bool dmr_entries_overlap(const struct dmr_entry *a, const struct dmr_entry *b, bool by_main);

/*
 * Insert an extent into a table block; the caller has checked that it overlaps nothing. Joins it
 * to a neighbour that it continues on both devices, if neither has flags. False if the block is
 * full. The block has to be given its new generation and sealed before it is written.
 */
bool dmr_table_insert(struct dmr_table *t, __u64 main, __u64 spare, __u32 sectors, __u32 flags);

/* True if all of [@main, @main + @sectors) is in one entry of the block. */
bool dmr_table_holds(const struct dmr_table *t, __u64 main, __u32 sectors);

/*
 * Lead [@main, @main + @sectors), which dmr_table_holds(), to @spare. False, and nothing changed,
 * if the block has no room for the up to two entries that this adds. As to sealing as above.
 */
bool dmr_table_replace(struct dmr_table *t, __u64 main, __u64 spare, __u32 sectors, __u32 flags);

#endif
