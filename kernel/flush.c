// SPDX-License-Identifier: GPL-2.0-only
/*
 * Flushes: main is always flushed, the spare if a write has ended there since its last flush.
 *
 * dm core takes a flush with data apart and sends the data also if the flush has failed. The data
 * is often the block that makes a journal's transaction valid, so a failed flush is told to writes,
 * too: they fail until the device was flushed, at least one of them.
 */
#include <linux/blkdev.h>
#include <linux/wait_bit.h>

#include "target.h"

static bool same_disk(const struct dm_dev *a, const struct dm_dev *b)
{
	return a->bdev->bd_disk == b->bdev->bd_disk;
}

u8 dmr_flush_shares(const struct dmr_target *t, const struct dmr_spare *s)
{
	u8 devices = 0;

	if (same_disk(t->main, s->dev))
		devices |= DMR_MAIN;
	if (same_disk(dmr_spare(t)->dev, s->dev))
		devices |= DMR_SPARE;
	return devices;
}

static void add(atomic_t *numbers, u8 devices, int change)
{
	if (devices & DMR_MAIN)
		atomic_add(change, &numbers[0]);
	if (devices & DMR_SPARE)
		atomic_add(change, &numbers[1]);
}

/* The devices whose disk is that of @device. */
static u8 on_disk_of(const struct dmr_target *t, u8 device)
{
	return same_disk(t->main, dmr_spare(t)->dev) ? DMR_MAIN | DMR_SPARE : device;
}

/* A flush that is waited for. */
struct waited {
	struct dmr_flushes *flushes;
	struct completion done;
	u8 devices; /* on the disk */
};

/* Here, and not by who waits: the next flush of the disk may have succeeded before that one runs. */
static void waited_endio(struct bio *bio)
{
	struct waited *w = bio->bi_private;

	if (bio->bi_status)
		add(w->flushes->lost, w->devices, 1);
	complete(&w->done);
}

static int flush_and_wait(struct dmr_flushes *f, struct block_device *bdev, u8 devices)
{
	struct waited w = { .flushes = f, .devices = devices };
	struct bio bio;
	int r;

	init_completion(&w.done);
	bio_init(&bio, bdev, NULL, 0, REQ_OP_WRITE | REQ_PREFLUSH);
	bio.bi_private = &w;
	bio.bi_end_io = waited_endio;
	submit_bio(&bio);
	wait_for_completion_io(&w.done);
	r = blk_status_to_errno(bio.bi_status);
	bio_uninit(&bio);
	return r;
}

/* To which a flush went, or which are flushed behind a write. */
static u8 devices_of(const struct dmr_io *io)
{
	if (io->behind)
		return io->behind;
	return io->on_spare ? DMR_SPARE : DMR_MAIN;
}

void dmr_flush_note(const struct dmr_target *t, struct dmr_io *io)
{
	io->lost[0] = dmr_flushes_lost(&t->flush.all, DMR_MAIN);
	io->lost[1] = dmr_flushes_lost(&t->flush.all, DMR_SPARE);
}

bool dmr_flush_lost(const struct dmr_target *t, const struct dmr_io *io, u8 devices)
{
	return (devices & DMR_MAIN && io->lost[0] != dmr_flushes_lost(&t->flush.all, DMR_MAIN)) ||
	       (devices & DMR_SPARE && io->lost[1] != dmr_flushes_lost(&t->flush.all, DMR_SPARE));
}

int dmr_flush_map(struct dmr_target *t, struct bio *bio, struct dmr_io *io)
{
	io->flush = true;
	io->on_spare = dm_bio_get_target_bio_nr(bio);
	/* What is to be stable has ended, and was counted, before this flush was sent. */
	io->written = atomic64_read(&t->flush.written);
	dmr_flush_note(t, io);
	if (io->on_spare && io->written == atomic64_read(&t->flush.flushed) &&
	    !((READ_ONCE(t->flush.failed) | READ_ONCE(t->flush.distrusted)) & DMR_SPARE)) {
		io->settled = true;
		bio_endio(bio);
		return DM_MAPIO_SUBMITTED;
	}
	bio_set_dev(bio, io->on_spare ? dmr_spare(t)->dev->bdev : t->main->bdev);
	return DM_MAPIO_REMAPPED;
}

static bool own_under_way(const struct dmr_flushes *f, u8 devices)
{
	return dmr_flushes_sum(f->own, devices);
}

/* A flush that succeeds may not have found what it was for: the mover knows, or soon will. */
static bool in_doubt(const struct dmr_target *t, const struct dmr_io *io)
{
	const struct dmr_flushes *f = &t->flush.all;
	const u8 devices = devices_of(io);

	if (own_under_way(f, devices))
		return true;
	smp_rmb(); /* pairs with dmr_flush_own() */
	if (atomic_read(&f->untold) & devices)
		return true;
	smp_rmb(); /* pairs with dmr_flush_distrust() */
	return (READ_ONCE(t->flush.failed) | READ_ONCE(t->flush.distrusted)) & devices ||
	       dmr_flush_lost(t, io, devices);
}

static void note_flushed(struct dmr_target *t, const struct dmr_io *io)
{
	s64 flushed = atomic64_read(&t->flush.flushed);

	while (io->on_spare && flushed < io->written &&
	       !atomic64_try_cmpxchg(&t->flush.flushed, &flushed, io->written))
		;
}

int dmr_flush_end(struct dmr_target *t, struct bio *bio, struct dmr_io *io, blk_status_t error)
{
	if (likely(!error && !in_doubt(t, io))) {
		note_flushed(t, io);
		return DM_ENDIO_DONE;
	}
	/* A spare that was replaced meanwhile is nobody's any more. */
	if (error && (!io->on_spare || bio->bi_bdev == dmr_spare(t)->dev->bdev))
		add(t->flush.all.lost, on_disk_of(t, devices_of(io)), 1);
	dmr_mover_take(t, bio);
	return DM_ENDIO_INCOMPLETE;
}

/* Writes have to be told. */
static bool owes(const struct dmr_target *t)
{
	return t->flush.failed || t->flush.owed;
}

bool dmr_flush_owes(const struct dmr_target *t)
{
	return owes(t) || t->flush.distrusted;
}

static void latch(struct dmr_target *t, u8 failed, bool owed)
{
	const bool before = owes(t);

	WRITE_ONCE(t->flush.failed, failed);
	t->flush.owed = owed;
	if (owes(t) && !before)
		dmr_hold(t, &t->flush.everything);
	else if (before && !owes(t))
		dmr_release(&t->flush.everything, 1);
}

void dmr_flush_settle(struct dmr_target *t, struct bio *bio)
{
	struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));
	const u8 devices = devices_of(io);

	/* Ours have ended, but for those of a new spare on the same disk. */
	wait_var_event(&t->flush.all, !own_under_way(&t->flush.all, devices));
	smp_rmb(); /* pairs with dmr_flush_own() */
	dmr_flush_distrust(t);
	if (!bio->bi_status && dmr_flush_lost(t, io, devices)) {
		/* It was under way when another failed, and need not have covered the same. */
		bio->bi_status = BLK_STS_IOERR;
	} else if (!bio->bi_status && t->flush.distrusted & devices) {
		WRITE_ONCE(t->flush.distrusted, t->flush.distrusted & ~devices);
		bio->bi_status = BLK_STS_IOERR;
	}
	if (bio->bi_status) {
		DMERR_LIMIT("%s: %pg: a flush failed, so writes to the set fail until one succeeds",
			    dmr_set_name(&t->spare->store),
			    devices & DMR_SPARE ? t->spare->dev->bdev : t->main->bdev);
		latch(t, t->flush.failed | devices, true);
	} else {
		if (!io->behind)
			note_flushed(t, io);
		latch(t, t->flush.failed & ~devices, t->flush.owed);
	}
	io->behind = 0;
	/* Only now: the data that dm core sends after it must find the hold. */
	dmr_end(bio);
}

bool dmr_flush_refuses(struct dmr_target *t, const struct bio *bio)
{
	if (!owes(t))
		return false;
	/* Nobody minds a discard that fails. */
	if (bio_op(bio) != REQ_OP_DISCARD)
		latch(t, t->flush.failed, false);
	return true;
}

/* No write relies on a flush yet, so none is refused before one was told: swap is never flushed. */
void dmr_flush_distrust(struct dmr_target *t)
{
	int untold;

	while ((untold = atomic_read(&t->flush.all.untold)) != 0) {
		u8 devices = untold;

		if (atomic64_read(&t->flush.written) == atomic64_read(&t->flush.flushed))
			devices &= ~DMR_SPARE;
		WRITE_ONCE(t->flush.distrusted, t->flush.distrusted | devices);
		/* Only then, and fully ordered: a flush that ends just now sees the one or the other. */
		atomic_cmpxchg(&t->flush.all.untold, untold, 0);
	}
}

int dmr_flush_own(struct dmr_flushes *f, struct block_device *bdev, u8 devices)
{
	int r;

	add(f->own, devices, 1);
	smp_mb__after_atomic(); /* who does not see it yet has been flushed before */
	r = flush_and_wait(f, bdev, devices);
	if (r)
		atomic_or(devices, &f->untold);
	smp_mb__before_atomic(); /* who does not see it any more sees what has become of it */
	add(f->own, devices, -1);
	smp_mb__after_atomic(); /* see wake_up_var() */
	wake_up_var(f);
	return r;
}

int dmr_flush_main(struct dmr_target *t)
{
	int r = dmr_flush_own(&t->flush.all, t->main->bdev, on_disk_of(t, DMR_MAIN));

	dmr_flush_distrust(t);
	return r;
}

/* The data of a flush that failed may have waited for the end of a suspend. */
void dmr_flush_inherit(struct dmr_target *t, const struct dmr_target *old)
{
	t->flush.distrusted = old->flush.distrusted;
	if (owes(old))
		latch(t, t->flush.failed | old->flush.failed, true);
}

void dmr_flush_fua(struct dmr_target *t, struct dmr_io *io, struct bio *bio, bool on_spare)
{
	if (!bdev_write_cache(bio->bi_bdev) || bdev_fua(bio->bi_bdev)) {
		bio->bi_opf |= REQ_FUA;
		return;
	}
	bio->bi_opf &= ~REQ_FUA;
	/* What is sent again was perhaps in the cache already. */
	if (!io->behind)
		dmr_flush_note(t, io);
	io->behind |= on_spare ? DMR_SPARE : DMR_MAIN;
}

int dmr_flush_behind(struct dmr_target *t, struct bio *bio, struct dmr_io *io)
{
	WRITE_ONCE(bio->bi_cookie, BLK_QC_T_NONE); /* nobody polls the device for it any more */
	dmr_worker_give(&t->flush.worker, bio);
	return DM_ENDIO_INCOMPLETE;
}

/* Returns those of @devices whose flush has failed. */
static u8 flush(struct dmr_target *t, u8 devices)
{
	struct dmr_flushes *f = &t->flush.all;
	u8 failed = 0;

	if (devices & DMR_MAIN && flush_and_wait(f, t->main->bdev, on_disk_of(t, DMR_MAIN)))
		failed |= DMR_MAIN;
	if (devices & DMR_SPARE &&
	    flush_and_wait(f, dmr_spare(t)->dev->bdev, on_disk_of(t, DMR_SPARE)))
		failed |= DMR_SPARE;
	return failed;
}

/* The flush behind it has ended. Where that did not do, the mover treats the bio as that flush. */
static void end_behind(struct dmr_target *t, struct bio *bio, u8 failed)
{
	struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));

	if (failed & io->behind)
		bio->bi_status = BLK_STS_IOERR;
	if (!bio->bi_status && !in_doubt(t, io)) {
		io->behind = 0;
		dmr_end(bio);
		return;
	}
	io->flush = true;
	dmr_mover_take(t, bio);
}

/*
 * Those that come while it flushes are covered by the next one. Where the block layer flushes
 * behind a write, that fails for a bad sector and for its flush alike. Sent again it would succeed
 * in any case, and nobody would hear that what others had written is gone.
 */
static void behind_work(struct work_struct *work)
{
	struct dmr_target *t = container_of(work, struct dmr_target, flush.worker.work);
	struct bio_list bios = dmr_worker_take(&t->flush.worker);
	u8 devices = 0, failed;
	struct bio *bio;

	bio_list_for_each(bio, &bios) {
		struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));

		devices |= io->behind;
	}
	failed = flush(t, devices);
	while ((bio = bio_list_pop(&bios)))
		end_behind(t, bio, failed);
}

int dmr_flush_init(struct dmr_target *t)
{
	t->flush.everything.end = t->ti->len;
	return dmr_worker_init(&t->flush.worker, "dm-remap-flush", behind_work);
}

void dmr_flush_exit(struct dmr_target *t)
{
	dmr_worker_exit(&t->flush.worker);
}
