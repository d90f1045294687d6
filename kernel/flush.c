// SPDX-License-Identifier: GPL-2.0-only
/*
 * Flushes: main is always flushed, the spare if a write has ended there since its last flush.
 *
 * dm core takes a flush with data apart and sends the data also if the flush has failed. The data
 * is often the block that makes a journal's transaction valid, so a failed flush is told to writes,
 * too: they fail until the device was flushed, at least one of them.
 */
#include <linux/blkdev.h>

#include "target.h"

/* Numbers of the devices, and of their flushes. */
#define MAIN  0
#define SPARE 1

/* A flush of either flushes both. */
static bool one_disk(const struct dmr_target *t)
{
	return t->main->bdev->bd_disk == dmr_spare(t)->dev->bdev->bd_disk;
}

/* Not our own has failed: what was in the cache of the device may be gone. */
static void count_failure(struct dmr_target *t, bool on_spare)
{
	atomic_inc(&t->flush.failures);
	if (on_spare || one_disk(t))
		atomic_inc(&dmr_spare(t)->store.lost_flushes);
}

int dmr_flush_map(struct dmr_target *t, struct bio *bio, struct dmr_io *io)
{
	io->flush = true;
	io->on_spare = dm_bio_get_target_bio_nr(bio) == SPARE;
	/* What is to be stable has ended, and was counted, before this flush was sent. */
	io->written = atomic64_read(&t->flush.written);
	io->failures = atomic_read(&t->flush.failures);
	if (io->on_spare && io->written == atomic64_read(&t->flush.flushed) &&
	    !(READ_ONCE(t->flush.failed) & 1 << SPARE)) {
		bio_endio(bio);
		return DM_MAPIO_SUBMITTED;
	}
	bio_set_dev(bio, io->on_spare ? dmr_spare(t)->dev->bdev : t->main->bdev);
	return DM_MAPIO_REMAPPED;
}

int dmr_flush_end(struct dmr_target *t, struct bio *bio, struct dmr_io *io, blk_status_t error)
{
	s64 flushed = atomic64_read(&t->flush.flushed);

	if (!error && io->on_spare)
		while (flushed < io->written &&
		       !atomic64_try_cmpxchg(&t->flush.flushed, &flushed, io->written))
			;
	if (likely(!error && !(READ_ONCE(t->flush.failed) & 1 << io->on_spare)))
		return DM_ENDIO_DONE;
	if (error)
		count_failure(t, io->on_spare);
	dmr_mover_take(t, bio);
	return DM_ENDIO_INCOMPLETE;
}

bool dmr_flush_owes(const struct dmr_target *t)
{
	return t->flush.failed || t->flush.owed;
}

static void latch(struct dmr_target *t, u8 failed, bool owed)
{
	const bool before = dmr_flush_owes(t);

	WRITE_ONCE(t->flush.failed, failed);
	t->flush.owed = owed;
	if (dmr_flush_owes(t) && !before)
		dmr_hold(t, &t->flush.everything);
	else if (before && !dmr_flush_owes(t))
		dmr_release(&t->flush.everything, 1);
}

void dmr_flush_settle(struct dmr_target *t, struct bio *bio)
{
	struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));
	const u8 device = 1 << io->on_spare;

	if (t->flush.distrusted & device) {
		WRITE_ONCE(t->flush.distrusted, t->flush.distrusted & ~device);
		atomic_inc(&t->flush.failures);
		bio->bi_status = bio->bi_status ? bio->bi_status : BLK_STS_IOERR;
	}
	if (bio->bi_status) {
		DMERR_LIMIT("%s: %pg: a flush failed, so writes to the set fail until one succeeds",
			    dmr_set_name(&t->spare->store),
			    io->on_spare ? t->spare->dev->bdev : t->main->bdev);
		latch(t, t->flush.failed | device, true);
	} else if (io->failures == atomic_read(&t->flush.failures)) {
		/* One that was under way when another failed need not have covered the same. */
		latch(t, t->flush.failed & ~device, t->flush.owed);
	}
	/* Only now: the data that dm core sends after it must find the hold. */
	dmr_end(bio);
}

bool dmr_flush_refuses(struct dmr_target *t, const struct bio *bio)
{
	if (!dmr_flush_owes(t))
		return false;
	/* Nobody minds a discard that fails. */
	if (bio_op(bio) != REQ_OP_DISCARD)
		latch(t, t->flush.failed, false);
	return true;
}

static void distrust(struct dmr_target *t, u8 devices)
{
	if (!devices)
		return;
	WRITE_ONCE(t->flush.distrusted, t->flush.distrusted | devices);
	latch(t, t->flush.failed | devices, true);
}

void dmr_flush_distrust(struct dmr_target *t)
{
	struct dmr_store *s = &t->spare->store;
	u8 devices = 0;

	if (!s->flush_failed)
		return;
	WRITE_ONCE(s->flush_failed, false);
	if (atomic64_read(&t->flush.written) != atomic64_read(&t->flush.flushed))
		devices |= 1 << SPARE;
	if (one_disk(t))
		devices |= 1 << MAIN;
	distrust(t, devices);
}

int dmr_flush_main(struct dmr_target *t)
{
	int r = blkdev_issue_flush(t->main->bdev);

	if (r)
		distrust(t, 1 << MAIN);
	return r;
}

/* The data of a flush that failed may have waited for the end of a suspend. */
void dmr_flush_inherit(struct dmr_target *t, const struct dmr_target *old)
{
	if (!dmr_flush_owes(old))
		return;
	t->flush.distrusted = old->flush.distrusted;
	latch(t, t->flush.failed | old->flush.failed, true);
}

void dmr_flush_fua(struct dmr_io *io, struct bio *bio, bool on_spare)
{
	if (!bdev_write_cache(bio->bi_bdev) || bdev_fua(bio->bi_bdev)) {
		bio->bi_opf |= REQ_FUA;
		return;
	}
	bio->bi_opf &= ~REQ_FUA;
	io->behind |= 1 << on_spare;
}

int dmr_flush_behind(struct dmr_target *t, struct bio *bio, struct dmr_io *io)
{
	io->failures = atomic_read(&t->flush.failures);
	WRITE_ONCE(bio->bi_cookie, BLK_QC_T_NONE); /* nobody polls the device for it any more */
	dmr_worker_give(&t->flush.worker, bio);
	return DM_ENDIO_INCOMPLETE;
}

/* Returns those of @devices whose flush has failed. */
static u8 flush(struct dmr_target *t, u8 devices)
{
	u8 failed = 0;

	if (devices & 1 << MAIN && blkdev_issue_flush(t->main->bdev)) {
		failed |= 1 << MAIN;
		count_failure(t, false);
	}
	if (devices & 1 << SPARE && blkdev_issue_flush(dmr_spare(t)->dev->bdev)) {
		failed |= 1 << SPARE;
		count_failure(t, true);
	}
	return failed;
}

/* One of our own has failed that may have been the one that counted for @devices. */
static bool distrusted(const struct dmr_target *t, u8 devices)
{
	if (READ_ONCE(dmr_spare(t)->store.flush_failed) && (devices & 1 << SPARE || one_disk(t)))
		return true;
	return READ_ONCE(t->flush.distrusted) & devices;
}

/* The flush behind it has ended. If it has failed the mover treats the bio as that flush. */
static void end_behind(struct dmr_target *t, struct bio *bio, u8 failed)
{
	struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));
	const u8 devices = io->behind;

	io->behind = 0;
	if (failed & devices) {
		io->flush = true;
		io->on_spare = failed & devices & 1 << SPARE;
		bio->bi_status = BLK_STS_IOERR;
		dmr_mover_take(t, bio);
		return;
	}
	/* It may have been in the cache when another failed, and then the drive dropped it. */
	if (io->failures != atomic_read(&t->flush.failures) || distrusted(t, devices))
		bio->bi_status = BLK_STS_IOERR;
	dmr_end(bio);
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
