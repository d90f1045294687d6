/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The five copies on the spare: load, commit, health, and the allocator of replacement
 * sectors.
 *
 * All functions that change the store are called by one thread at a time (the first resume,
 * then the worker of relocate.c); the figures for status may be read at any time.
 */
#ifndef DMR_STORE_H
#define DMR_STORE_H

#include <linux/bio.h>
#include <linux/blkdev.h>

#include "extents.h"
#include "flush.h"
#include "format.h"

#define DMR_ENTRY_SECTORS 8 /* of spare per entry that there is room for, by the layout */

struct dmr_store {
	struct block_device *bdev; /* the spare */
	struct bio_set bios; /* a bio per metadata block in flight */
	struct dmr_layout layout;
	struct dmr_super *super; /* as it stands on the spare, or is about to */
	struct dmr_table **table; /* as above; table[i] is block index i + 1 */
	struct dmr_table *end; /* the empty block that stands behind them on the spare */
	struct dmr_super *theirs; /* what was read last, to see who else writes */
	u32 tables; /* initialised table blocks, entries of @table */
	unsigned long *dirty; /* bit per table block: changed since the last commit */
	u32 fill; /* the table block that new entries go to */
	u64 room; /* new entries that the table can take, for status */
	sector_t cursor; /* replacement sectors from here on are free */
	u64 generation; /* the newest in use; the next commit takes the next one */
	u64 committed; /* of the superblock that was last written to all good copies, or found */
	u8 old_supers; /* bit per copy: its superblock was valid, but not the newest, when loaded */
	u8 bad_copies; /* bit per copy: damaged or unwritable, not written any more */
	u8 joining; /* bit per bad copy: being mended, so written, but not relied on */
	bool read_only; /* write nothing */
	bool no_repair; /* write no copy that was damaged when loaded */
	bool failed; /* a commit did not become safe: commit nothing more */
	struct dmr_flushes *flushes; /* of the target */
	u8 shares; /* DMR_MAIN, DMR_SPARE: is on its disk */
	u64 extents; /* for status */
	u64 remapped; /* sectors of main, for status */
};

/*
 * Allocate what a store on @bdev needs, which shares its disk with the devices @shares. Reads nothing.
 * -ENOMEM, -EINVAL: too small; in any case to be followed by dmr_store_exit().
 */
int dmr_store_init(struct dmr_store *s, struct block_device *bdev, struct dmr_flushes *flushes,
		   u8 shares);
void dmr_store_exit(struct dmr_store *s);

/*
 * Read the superblocks and elect one. 1 if all five places are zero, 0 if there is a
 * set (the store then knows its superblock), else an error, with the reason logged. @uuid, if not
 * NULL, is the only set that will do. Forgets all that an earlier attempt to load has left.
 */
int dmr_store_identify(struct dmr_store *s, const u8 *uuid);

/* -EUCLEAN if there is anything where dmr_store_format() would write, or the I/O error. */
int dmr_store_check_blank(struct dmr_store *s);

/*
 * Write the empty set of which s->super was made, by dmr_super_init(). Superblocks go last: after a
 * crash it is there, or it is not, or, if a block was torn, the spare is refused until somebody
 * makes the set anew. Nothing was served from it by then.
 */
int dmr_store_format(struct dmr_store *s);

/*
 * After dmr_store_identify(): read and vote the table, check it as a whole, level the copies
 * as read_only and no_repair allow, and put every extent into @x, which nobody reads yet. After an
 * error @x is empty; begin with dmr_store_identify() again.
 */
int dmr_store_load(struct dmr_store *s, struct dmr_extents *x);

/*
 * A run of at most @sectors fresh replacement sectors, a multiple of @unit sectors: its
 * length, 0 if the spare is full, its start in @start. Never given out twice
 * but after dmr_store_seek().
 */
sector_t dmr_store_alloc(struct dmr_store *s, sector_t sectors, unsigned int unit, sector_t *start);

/* Give out sectors from @sector on next: nothing from there on may be in use. */
static inline void dmr_store_seek(struct dmr_store *s, sector_t sector)
{
	WRITE_ONCE(s->cursor, sector);
}

/*
 * To be called before anything of a commit is entered, or written: -EIO if none can succeed, also as somebody else
 * has written to the spare, or -EROFS.
 */
int dmr_store_begin(struct dmr_store *s);

/*
 * The same, and make room for one more entry. May write, as it makes the table longer. Also -ENOSPC,
 * -ENOMEM, or the I/O error.
 */
int dmr_store_reserve(struct dmr_store *s);

/*
 * Enter a remap with flags DMR_ENTRY_* for the next commit, into the room that dmr_store_reserve()
 * has made.
 */
void dmr_store_add(struct dmr_store *s, sector_t main, sector_t spare, u32 sectors, u32 flags);

/*
 * Lead sectors of main that were added before, all in one go, to another place from the next commit
 * on. -ENOSPC, and nothing is changed, if the table block that holds them has no room.
 */
int dmr_store_replace(struct dmr_store *s, sector_t main, sector_t spare, u32 sectors, u32 flags);

/* Flush the spare. After an error more than the caller's may be lost: see dmr_flush_own(). */
int dmr_store_flush(struct dmr_store *s);
/* How many flushes of somebody else's have failed that may have been for what is written here. */
static inline unsigned int dmr_store_lost(const struct dmr_store *s)
{
	return dmr_flushes_lost(s->flushes, READ_ONCE(s->shares));
}
/* Flush what was written since dmr_store_lost() was @lost: -EIO also if it is another by now. */
int dmr_store_settle(struct dmr_store *s, unsigned int lost);

/* Make everything added stable in DMR_SAFE_COPIES or more. See store.c for the order. */
int dmr_store_commit(struct dmr_store *s);

/* Write the superblock anew. -EROFS, -EIO as dmr_store_commit(). */
int dmr_store_save(struct dmr_store *s);

/*
 * The same with another state, and @peer as the other spare, NULL: as it is. An error says nothing
 * of the table.
 */
int dmr_store_set_state(struct dmr_store *s, enum dmr_state state, const u8 *peer);

/*
 * The same for a store that need not be written any more, and which may have failed: nobody will
 * ask what table it holds. If it cannot be done in two copies, it is tried in all: one is enough to
 * be found tomorrow. The error is that of two copies.
 */
int dmr_store_retire(struct dmr_store *s, enum dmr_state state, const u8 *peer);

/*
 * The same with a repair, or a complete scrub, counted in it. What could not be written makes
 * copies bad, but no commit fail. -EIO, or the error of a flush.
 */
int dmr_store_count_repair(struct dmr_store *s);
int dmr_store_count_scrub(struct dmr_store *s);

#define DMR_LOOK_BLOCKS 32

/* A look at one copy, some blocks after the other, while commits go on. */
struct dmr_look {
	unsigned int copy;
	u32 index; /* of the first block; 0 is the superblock */
	u32 count; /* of blocks that are read next, or were just read */
	u32 singly; /* blocks before this index are read one by one */
	bool readable; /* false: they, which is one then, could not be read */
	u32 mended; /* blocks so far */
	u32 left; /* that are damaged still */
	sector_t sector; /* of the first block */
	void *block[DMR_LOOK_BLOCKS];
};

/* -ENOMEM; in any case to be followed by dmr_look_exit(). */
int dmr_look_init(struct dmr_look *l);
void dmr_look_exit(struct dmr_look *l);

/* Begin with the first blocks of @copy. */
void dmr_look_begin(struct dmr_look *l, const struct dmr_store *s, unsigned int copy);
/* Go on to the next ones. False if there are none. */
bool dmr_look_next(struct dmr_look *l, const struct dmr_store *s);

/* Read them. The one function of these that is not only for the thread that changes the store. */
void dmr_look_read(struct dmr_look *l, struct dmr_store *s);

/*
 * Compare them with the table in use; where they differ they are read again first, as a commit may
 * have come between. With @mend, what is not as it should be is written over and read back. The
 * error of a flush; -EUCLEAN if nothing may be written: by somebody else there is another table on
 * the spare, or the one in memory is damaged.
 */
int dmr_look_compare(struct dmr_look *l, struct dmr_store *s, bool mend);

/* Have commits write a bad copy, without relying on it. Nothing for a good one. */
void dmr_store_join(struct dmr_store *s, unsigned int copy);

/*
 * A look at all of the copy, begun at generation @began, is over; @whole: and has left no damage.
 * Returns true if the copy was bad and is good from now on. May flush.
 */
bool dmr_store_judge(struct dmr_store *s, unsigned int copy, u64 began, bool whole);

/* Replacement sectors that were never given out. */
static inline u64 dmr_store_free(const struct dmr_store *s)
{
	return dmr_data_left(&s->layout, READ_ONCE(s->cursor));
}

/* For the log. Known from dmr_store_identify() on. */
static inline const char *dmr_set_name(const struct dmr_store *s)
{
	return *s->super->name ? s->super->name : "unnamed set";
}

static inline unsigned int dmr_store_valid_copies(const struct dmr_store *s)
{
	return DMR_COPIES - hweight8(READ_ONCE(s->bad_copies));
}

/* True if a commit can succeed. */
static inline bool dmr_store_writable(const struct dmr_store *s)
{
	return !s->read_only && !READ_ONCE(s->failed) &&
	       dmr_store_valid_copies(s) >= DMR_SAFE_COPIES;
}

/* Why none can, -EROFS or -EIO; 0 if one can. */
static inline int dmr_store_check(const struct dmr_store *s)
{
	if (dmr_store_writable(s))
		return 0;
	return s->read_only ? -EROFS : -EIO;
}

#endif
