/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One set: what the parts of the target share.
 */
#ifndef DMR_TARGET_H
#define DMR_TARGET_H

#include <linux/bio.h>
#include <linux/device-mapper.h>
#include <linux/percpu.h>
#include <linux/spinlock.h>
#include <linux/sysfs.h>

#include "flush.h"
#include "migrate.h"
#include "range.h"
#include "scrub.h"
#include "worker.h"

#define DM_MSG_PREFIX "remap"

struct dmr_target;
struct dmr_sysfs;
struct dmr_batch;

/* With each bio, from map to its end. */
struct dmr_io {
	union {
		struct bvec_iter iter; /* what was sent down, to send it again in pieces */
		s64 written; /* a flush of the spare: writes that it makes stable */
	};
	/* a flush, a write with one behind it, or one that the mover has: flushes that had failed before */
	unsigned int lost[DMR_DEVICES];
	struct list_head unreadable; /* of a read: struct dmr_range, that are to become pending */
	unsigned long failed; /* of a read: when; jiffies */
	u8 phase; /* of the writers it is counted among */
	bool counted; /* is a write in flight */
	bool on_spare; /* was sent there */
	bool flush; /* is an empty flush */
	bool fua; /* was asked for; a device without a cache is not told of it */
	u8 behind; /* DMR_MAIN, DMR_SPARE: to be flushed before this ends */
	bool moved; /* the mover put a part of it on the spare: needs the commit */
	bool settled; /* nothing more can be done for it */
};

/*
 * Writes in flight, so that a move can wait for those that may still change the
 * sectors it reads. Counted per CPU in two phases; a wait begins the other phase.
 */
struct dmr_writers {
	unsigned long __percpu *count[2];
	u8 phase;
	bool awaited;
	wait_queue_head_t idle;
};

/* flush.c: which device has something to flush, and flushes that failed. */
struct dmr_flush {
	atomic64_t written; /* writes that ended well on the spare */
	atomic64_t flushed; /* of these, how many are stable for sure */
	u8 failed; /* DMR_MAIN, DMR_SPARE: its last flush failed */
	bool owed; /* no write was told yet */
	u8 distrusted; /* DMR_MAIN, DMR_SPARE: its next flush has to fail */
	struct dmr_range everything; /* held while .failed or .owed is set */
	struct dmr_flushes all; /* as far as the stores have to know of them, or tell of theirs */
	struct dmr_worker worker; /* flushes behind writes: see dmr_flush_behind() */
};

/* guard.c: what keeps a broken main from eating the spare. */
struct dmr_guard {
	bool doubt; /* a write to main has failed, and none has succeeded since */
	bool no_place; /* none on the spare could be written, and none was since */
	bool gone; /* main could not be read either, */
	unsigned long probed; /* when that was tried; jiffies */
	unsigned int answered; /* number of the place that could be read then */
	u64 row; /* blocks that failed since .doubt */
	u64 spent; /* sectors moved by ourselves in the minute that began at .minute */
	unsigned long minute; /* jiffies */
	struct delayed_work over; /* that minute is, after too much was spent in it */
};

/* What "set" and the arguments of the table change; 0 switches a limit off. */
enum dmr_param {
	DMR_LOW_WATER, /* free sectors on the spare, below which the set is degraded */
	DMR_GIVE_UP, /* blocks of main that may fail in a row */
	DMR_BUDGET, /* sectors of main that may be moved in a minute without being told to */
	DMR_SCRUB_INTERVAL, /* seconds from the end of a scrub to the next */
	DMR_REPAIR_INTERVAL, /* seconds in which DMR_REPAIRS of a copy may fail */
	DMR_PARAMS,
};

#define DMR_MOVE_RUNS 32 /* that are moved with one commit */

/* relocate.c: what happens to a failed write, and all else that changes the table. */
struct dmr_mover {
	struct dmr_worker worker; /* see dmr_mover_take() */
	struct page *page[32]; /* what is on its way from main to the spare */
	struct dmr_range held[DMR_MOVE_RUNS]; /* where that is from; see move.c */
	struct list_head errands; /* this and the next: under the worker's lock */
	bool stopped; /* suspended: takes no errands */
};

#define DMR_MOVE_SECTORS (32 * DMR_BLOCK_SECTORS) /* that fit dmr_mover.page */

/* reread.c: what happens to a failed read. */
struct dmr_reader {
	struct dmr_worker worker; /* see dmr_reader_take() */
	struct page *page; /* to see whether main can be read at all */
};

enum dmr_health { DMR_HEALTH_OK, DMR_HEALTH_DEGRADED, DMR_HEALTH_FAILING };

/* What the last event was about. */
struct dmr_reported {
	enum dmr_health health;
	bool pending; /* there are pending sectors */
	u8 bad_copies;
	u64 repairs;
};

/* A spare, what is on it, and the map that leads there. */
struct dmr_spare {
	struct dmr_spare *replaced; /* the one before it of those in dmr_target.replaced */
	struct dm_dev *dev;
	struct dmr_store store;
	struct dmr_extents extents;
};

struct dmr_target {
	struct dm_target *ti;
	struct list_head tables; /* of claim.c */
	bool live; /* by claim.c: keeps its devices from being in another set */
	bool turning; /* by claim.c: to another spare, so no other table may be made */
	struct block_device *incoming; /* by claim.c: the spare that is being filled, or NULL */
	struct dm_dev *main;
	struct dmr_spare *spare; /* changed by the mover: see dmr_spare() */
	struct dmr_spare *replaced; /* spares that were, since the last suspend */
	unsigned int unit; /* sectors of main's logical block */
	bool loaded; /* the table has been read, at the first resume */
	bool has_uuid; /* .uuid is the only set that will do */
	bool no_repair; /* mend nothing unless told to */
	u8 uuid[DMR_UUID_SIZE];
	u64 param[DMR_PARAMS];
	unsigned long chosen; /* bit per parameter: not the default; by set_bit() */
	struct dmr_writers writers;
	struct list_head holds; /* struct dmr_range, RCU: writes to them go to the mover */
	struct bio_set bios; /* pieces of what is sent again */
	struct dmr_flush flush;
	struct dmr_guard guard;
	struct dmr_mover mover;
	struct dmr_reader reader;
	struct dmr_scrub scrub;
	struct dmr_migration migration;
	struct dmr_sysfs *sysfs; /* NULL while suspended */
	struct dmr_reported reported;
};

/*
 * The spare in use, which the mover may replace meanwhile. It stays what it is, and can still be
 * read, until the device is suspended or removed: that waits for I/O, for who reads sysfs, and for
 * all others that are under rcu_read_lock().
 */
static inline struct dmr_spare *dmr_spare(const struct dmr_target *t)
{
	return READ_ONCE(t->spare);
}

/* Nothing is written to either device; the same for all spares that the target gets. */
static inline bool dmr_read_only(const struct dmr_target *t)
{
	bool read_only;

	rcu_read_lock();
	read_only = dmr_spare(t)->store.read_only;
	rcu_read_unlock();
	return read_only;
}

/* True if another spare is being filled. */
static inline bool dmr_migrating(const struct dmr_target *t)
{
	return smp_load_acquire(&t->migration.to); /* pairs with the release in begin() */
}

/* The device that @place is on, which was looked up in the map of @s. */
static inline struct block_device *dmr_holder(const struct dmr_target *t, const struct dmr_spare *s,
					      const struct dmr_place *place)
{
	return place->on_spare ? s->dev->bdev : t->main->bdev;
}

/* spare.c */

/*
 * Open the device at @path. -ENOMEM, or the error. May be closed, but not be used otherwise, when
 * dmr_spare_init() has not been called or has failed: -ENOMEM, -EINVAL: too small.
 */
int dmr_spare_open(struct dmr_target *t, const char *path, struct dmr_spare **result);
int dmr_spare_init(struct dmr_target *t, struct dmr_spare *s);
void dmr_spare_close(struct dmr_target *t, struct dmr_spare *s);
#define DMR_ZONED "Zoned devices are not supported"

/* Why the device cannot be a spare for this main; NULL if it can. */
char *dmr_spare_refuse(struct dmr_target *t, struct block_device *spare);

/* construct.c */

int dmr_ctr(struct dm_target *ti, unsigned int argc, char **argv);
void dmr_dtr(struct dm_target *ti);

/* The only set that will do; NULL if any will. */
static inline const u8 *dmr_wanted(const struct dmr_target *t)
{
	return t->has_uuid ? t->uuid : NULL;
}

/*
 * dmr_store_identify() of @s, which is the store of this target or another for the same spare, for
 * this main and table. -EUCLEAN if the set is one for another.
 */
int dmr_identify(struct dmr_target *t, struct dmr_store *s, const u8 *uuid);

/* target.c */

/* True for a discard of sectors on a spare that knows none: there is nothing to be done. */
bool dmr_is_moot(const struct dmr_spare *s, const struct bio *bio, bool on_spare);

/* claim.c */

/* True if they share sectors. */
bool dmr_overlap(struct block_device *a, struct block_device *b);
/* From the constructor to the destructor. -EBUSY: see dmr_turn_begin(). */
int dmr_table_add(struct dmr_target *t);
void dmr_table_del(struct dmr_target *t);
/*
 * Refuse other tables for the device until dmr_turn_end(). False, and none is refused, if one waits
 * to be resumed already: it was made for what is to change.
 */
bool dmr_turn_begin(struct dmr_target *t);
void dmr_turn_end(struct dmr_target *t);
/* Keep the devices from being in another set, until dmr_unclaim(). -EBUSY: one is. Sleeps. */
int dmr_claim(struct dmr_target *t);
void dmr_unclaim(struct dmr_target *t);
/* The same for one more device, which may become the spare. -EBUSY also if there is one already. */
int dmr_claim_incoming(struct dmr_target *t, struct block_device *bdev);
void dmr_unclaim_incoming(struct dmr_target *t);

/* hold.c */

/* -ENOMEM. */
int dmr_holds_init(struct dmr_target *t);
void dmr_holds_exit(struct dmr_target *t);

/*
 * True if @bio has to wait for the mover. One that is held in part only is cut, so that what is
 * left of it is held as a whole, or not at all; dm core sends the rest. Under rcu_read_lock().
 */
bool dmr_held(struct dmr_target *t, struct bio *bio);
/*
 * True if a part of [@start, @end) is held, other than by a failed flush. By the mover, which alone
 * changes the holds.
 */
bool dmr_overlaps_hold(struct dmr_target *t, sector_t start, sector_t end);

void dmr_hold(struct dmr_target *t, struct dmr_range *range);
/* Return once no write that was sent before the ranges were held is in flight. Sleeps. */
void dmr_drain_writers(struct dmr_target *t);
/* Return once nobody looks at any of @count ranges. Sleeps. */
void dmr_release(struct dmr_range *range, unsigned int count);
/* Hold for good what a failed commit may or may not have moved; of a dmr_batch. */
void dmr_refuse(struct dmr_target *t, struct list_head *ranges);
/* Until the table was loaded again. */
void dmr_forget_refused(struct dmr_target *t);

/*
 * Count a write in, unless it has to wait for the mover: then false. Under rcu_read_lock(), which
 * the waits of the mover rely on.
 */
static inline bool dmr_writer_begin(struct dmr_target *t, struct bio *bio, struct dmr_io *io)
{
	/* Pairs with dmr_drain_writers(): whoever sees the new phase sees the hold, too. */
	u8 phase = smp_load_acquire(&t->writers.phase);

	if (unlikely(!list_empty(&t->holds)) && dmr_held(t, bio))
		return false;
	smp_rmb(); /* the map is looked at after the holds; pairs with dmr_release() */
	io->phase = phase;
	io->counted = true;
	this_cpu_inc(*t->writers.count[phase]);
	return true;
}

static inline void dmr_writer_end(struct dmr_target *t, struct dmr_io *io)
{
	io->counted = false;
	this_cpu_dec(*t->writers.count[io->phase]);
	/* Pairs with the barrier of prepare_to_wait() in dmr_drain_writers(). */
	smp_mb();
	if (unlikely(READ_ONCE(t->writers.awaited)))
		wake_up(&t->writers.idle);
}

/* piece.c: parts of a bio, and of pages, sent and waited for. */

/* Pieces in which a failed bio is sent again before single blocks are tried. */
#define DMR_PIECE_SECTORS 64

/* True if a write that ended with @status may have met a bad sector. */
bool dmr_is_suspect(blk_status_t status);
/* The same for a read. */
bool dmr_is_unreadable(blk_status_t status);
/* Make a bio that was sent what it was before, so that it, or pieces of it, can be sent again. */
void dmr_rewind(struct bio *bio);

/*
 * Send @sectors of @bio, from @offset sectors into it, to @sector of @bdev. What a write-zeroes
 * asks for is written: at most DMR_MOVE_SECTORS.
 */
blk_status_t dmr_piece(struct dmr_target *t, struct bio *bio, sector_t offset, sector_t sectors,
		       struct block_device *bdev, sector_t sector);
/* Read or write @sectors of pages, from @offset sectors into them. */
blk_status_t dmr_transfer(struct dmr_target *t, struct page *const *page, sector_t offset,
			  sector_t sectors, blk_opf_t opf, struct block_device *bdev,
			  sector_t sector);
/* Copy what a write would put down to pages. */
void dmr_copy_data(struct bio *bio, sector_t offset, sector_t sectors, struct page *const *page);
/* End a bio that was taken from its end_io, with its bi_status. */
void dmr_end(struct bio *bio);

/* flush.c */

/* -ENOMEM. */
int dmr_flush_init(struct dmr_target *t);
void dmr_flush_exit(struct dmr_target *t);
/* An empty flush, for each device one: dm core splits off the data. */
int dmr_flush_map(struct dmr_target *t, struct bio *bio, struct dmr_io *io);
/* What remap_end_io() returns for it. */
int dmr_flush_end(struct dmr_target *t, struct bio *bio, struct dmr_io *io, blk_status_t error);
/* The same in the mover, for what dmr_flush_end() passed on. */
void dmr_flush_settle(struct dmr_target *t, struct bio *bio);
/* Take down what was lost before something is sent that is not ended, or flushed, at once; */
void dmr_flush_note(const struct dmr_target *t, struct dmr_io *io);
/* and true if a flush of any of the devices DMR_MAIN, DMR_SPARE has failed since, which may have been for it. */
bool dmr_flush_lost(const struct dmr_target *t, const struct dmr_io *io, u8 devices);
/* True if a write or discard has to fail for a flush that failed. By the mover. */
bool dmr_flush_refuses(struct dmr_target *t, const struct bio *bio);
/*
 * If a flush of the target's own has failed, writes that ended well on that disk are no longer known
 * to be stable, and the next flush says so. By the mover, or before there is any I/O.
 */
void dmr_flush_distrust(struct dmr_target *t);
/* With which devices a spare, or one that may become it, shares its disk. */
u8 dmr_flush_shares(const struct dmr_target *t, const struct dmr_spare *s);
/* Flush main for the target's own sake. By the mover. */
int dmr_flush_main(struct dmr_target *t);
/*
 * @io wants FUA: ask for it with @bio, which is for a device; where the block layer would flush
 * behind the write, a flush is due behind @io instead.
 */
void dmr_flush_fua(struct dmr_target *t, struct dmr_io *io, struct bio *bio, bool on_spare);
/* What remap_end_io() returns for a write that has ended well, and behind which a flush is due. */
int dmr_flush_behind(struct dmr_target *t, struct bio *bio, struct dmr_io *io);
/* True if flushes or writes still have to be told of a flush that failed. */
bool dmr_flush_owes(const struct dmr_target *t);
/* Take over from @old, which is drained and whose place @t takes, what writes have to be told. */
void dmr_flush_inherit(struct dmr_target *t, const struct dmr_target *old);

/* guard.c */

void dmr_guard_init(struct dmr_target *t);
/* Forget that somebody wants to know of the end of the minute, until dmr_guard_resume(). Sleeps. */
void dmr_guard_cancel(struct dmr_target *t);
void dmr_guard_resume(struct dmr_target *t);
/*
 * True if @sectors of main, a block that has just failed to be written, or that was read with
 * trouble, may be moved now. They count as moved. By the mover. Reads have half of the budget only:
 * nobody waits for them.
 */
bool dmr_guard_write(struct dmr_target *t, unsigned int sectors);
bool dmr_guard_read(struct dmr_target *t, unsigned int sectors);
/* True if no block of main can be read, into @page. Sleeps. */
bool dmr_main_gone(struct dmr_target *t, struct page *page);
/* True if nothing would be moved, for one of the reasons above. */
bool dmr_guard_stops(const struct dmr_target *t);

/* relocate.c */

/* -ENOMEM. */
int dmr_mover_init(struct dmr_target *t);
void dmr_mover_exit(struct dmr_target *t);
void dmr_mover_start(struct dmr_target *t);
/* Refuse errands from now on, and end those that wait or run. Bios are still taken. */
void dmr_mover_stop(struct dmr_target *t);
/* Wait until nothing is queued or running, after dmr_mover_stop(). */
void dmr_mover_drain(struct dmr_target *t);
/* Have the mover look whether there is something to report. In any context. */
void dmr_mover_kick(struct dmr_target *t);

/*
 * Hand over, in any context, a write as dmr_io.iter describes it, a read with unreadable blocks, or
 * a flush to settle. The mover ends it.
 */
void dmr_mover_take(struct dmr_target *t, struct bio *bio);

#define DMR_AGAIN 1

/* Something else to be done by the mover, between its batches. */
struct dmr_errand {
	struct list_head list;
	struct completion done;
	/* Returns .result, or DMR_AGAIN to be called again when bios that came were served. */
	int (*run)(struct dmr_target *t, struct dmr_errand *e);
	int result;
	bool waited_for; /* else it is freed when done */
	bool given_up; /* whoever waited for it was killed */
	unsigned int next; /* range, the first that is left to be moved */
	unsigned int ranges;
	struct dmr_range range[]; /* of main, ascending, apart from each other */
};

/*
 * Run @e, which kzalloc() has made, free it and return its result; -EBUSY while suspended, -EINTR
 * if the caller was killed. Sleeps until done.
 */
int dmr_mover_run(struct dmr_target *t, struct dmr_errand *e);
/* The same for one without ranges; also -ENOMEM: nothing was done. */
int dmr_mover_do(struct dmr_target *t, int (*run)(struct dmr_target *t, struct dmr_errand *e));
/* Run @e, which kmalloc() has made, some time; it may be dropped. In any context. */
void dmr_mover_queue(struct dmr_target *t, struct dmr_errand *e);

/* batch.c: what moved since the last commit. */
struct dmr_batch {
	struct dmr_target *target;
	struct dmr_update update;
	unsigned int lost; /* dmr_store_lost() before the first data was written */
	struct list_head ranges; /* struct dmr_range: what was moved */
	bool moved;
	unsigned long began; /* jiffies */
};

void dmr_batch_begin(struct dmr_batch *b, struct dmr_target *t);
/* Before data is written that an entry is to lead to: what was lost before that is none of it. */
static inline void dmr_batch_data(struct dmr_batch *b)
{
	if (!b->moved)
		b->lost = dmr_store_lost(&b->target->spare->store);
}
/* dmr_store_reserve(), before anything is entered. */
int dmr_reserve(struct dmr_target *t);
/*
 * Enter a range, inside one region of the map, whose data is on the spare, after
 * dmr_reserve(). @again: it is one block, which was on the spare before, and needs no room.
 * The batch is unchanged if this fails, but that the range would be refused with the others:
 * -ENOMEM, or as dmr_store_replace().
 */
int dmr_batch_add(struct dmr_batch *b, sector_t main, sector_t spare, sector_t sectors, bool again);
/*
 * Write the block at @offset sectors into the pages to a fresh place on the spare of @s, passing
 * over those that cannot be written. -ENOSPC, -EIO: no place can be written.
 */
int dmr_put_somewhere(struct dmr_target *t, struct dmr_store *s, struct page *const *page,
		      sector_t offset, sector_t *place);
/* The same with the mover's pages and the spare in use, and enter it. Also -EROFS. */
int dmr_put_block(struct dmr_batch *b, sector_t main, sector_t offset, bool again);
/* Make it stable and visible. After an error its sectors take no writes any more. */
int dmr_batch_end(struct dmr_batch *b);

/* move.c: errands */

/*
 * Move the ranges to the spare, with their data. What was moved before stays where it is. -EIO if
 * some sectors could not be read (they stay, and are pending) or the move is not safe, -ENOSPC,
 * -EROFS, -EBUSY while suspended.
 */
int dmr_move(struct dmr_target *t, struct dmr_errand *e);
/* The same for sectors that were read with trouble, as far as the guard allows. */
int dmr_rescue(struct dmr_target *t, struct dmr_errand *e);

/* reread.c */

/* -ENOMEM. */
int dmr_reader_init(struct dmr_target *t);
void dmr_reader_exit(struct dmr_target *t);
void dmr_reader_drain(struct dmr_target *t);
/* Take over a failed read as dmr_io.iter describes it, in any context. The reader ends the bio. */
void dmr_reader_take(struct dmr_target *t, struct bio *bio);
/*
 * Make pending, with the batch, what the reader could not read. False if it was given back to the
 * reader; else it is to be ended. By the mover.
 */
bool dmr_reader_settle(struct dmr_batch *b, struct bio *bio);
/* True if the reader should be given a read that has ended with @status. */
bool dmr_read_failed(blk_status_t status, const struct bio *bio);

/* restore.c: errands */

/*
 * Enter in the map @fresh what could not be read on main, which only the map in use knows.
 * -ENOMEM.
 */
int dmr_keep_pending(struct dmr_target *t, struct dmr_extents *fresh);
/*
 * Load the table from the spare again, as at activation. -EUCLEAN if it differs in more than a
 * failed commit left open.
 */
int dmr_restore(struct dmr_target *t, struct dmr_errand *e);
/* Write the superblock anew. */
int dmr_save(struct dmr_target *t, struct dmr_errand *e);

/* health.c */

enum dmr_health dmr_health(const struct dmr_target *t);
const char *dmr_health_text(enum dmr_health health);
const char *dmr_mode_text(const struct dmr_target *t);
/* Raise an event if the health has changed. By the mover. */
void dmr_report(struct dmr_target *t);

/* param.c */

/* What nobody has chosen; and what of that goes by the size of the spare, which is another now. */
void dmr_params_default(struct dmr_target *t);
void dmr_params_adapt(struct dmr_target *t);
/* -EINVAL: no such parameter, or no number. */
int dmr_param_set(struct dmr_target *t, const char *name, const char *value);
const char *dmr_param_name(enum dmr_param p);

/* sysfs.c: <disk>/remap/. Errors are logged: nothing depends on it. */

void dmr_sysfs_add(struct dmr_target *t);
void dmr_sysfs_remove(struct dmr_target *t);

/* control.c: the target_type's answers to questions. */

void dmr_status(struct dm_target *ti, status_type_t type, unsigned int status_flags, char *result,
		unsigned int maxlen);
int dmr_message(struct dm_target *ti, unsigned int argc, char **argv, char *result,
		unsigned int maxlen);

/* What is on the spare of a sector, or where it is, has changed. After that; in any context. */
static inline void dmr_note_change(struct dmr_target *t, sector_t sector)
{
	if (likely(!dmr_migrating(t)))
		return;
	smp_mb__before_atomic(); /* pairs with dmr_migrate_region() */
	set_bit(sector >> dmr_spare(t)->extents.shift, t->migration.dirty);
}

/* A write to main has ended well. In any context. */
static inline void dmr_guard_relax(struct dmr_target *t)
{
	if (unlikely(READ_ONCE(t->guard.doubt))) {
		WRITE_ONCE(t->guard.doubt, false);
		dmr_mover_kick(t);
	}
}

/* The same for the spare. */
static inline void dmr_guard_place(struct dmr_target *t)
{
	if (unlikely(READ_ONCE(t->guard.no_place))) {
		WRITE_ONCE(t->guard.no_place, false);
		dmr_mover_kick(t);
	}
}

/* A write of any kind has ended well. A discard does not show that the disk can be written. */
static inline void dmr_note_write(struct dmr_target *t, const struct bio *bio, bool on_spare)
{
	const bool data = bio_op(bio) != REQ_OP_DISCARD;

	if (unlikely(on_spare)) {
		atomic64_inc(&t->flush.written);
		if (data)
			dmr_guard_place(t);
	} else if (likely(data)) {
		dmr_guard_relax(t);
	}
}

#endif
