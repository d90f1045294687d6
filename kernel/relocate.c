// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moving sectors to the spare: those of failed writes, and those somebody names.
 *
 * One worker does all of it, one batch after the other, so that it alone changes the store and
 * the map. A batch is every write that waits when it starts:
 *
 *   send it again, in pieces; what fails again goes to a fresh place on the spare
 *   flush the spare                      the data is stable before any entry leads to it
 *   commit the entries of the batch      stable in the copies
 *   publish them in the map              later I/O goes to the spare
 *   end the bios                         only now is anything acknowledged
 */
#include <linux/blkdev.h>
#include <linux/slab.h>

#include "target.h"

/* Pieces in which a failed write is sent again before single blocks are tried. */
#define PIECE_SECTORS 64

/* Sectors that a named move reads and commits at once. */
#define MOVE_SECTORS 256
#define MOVE_PAGES   (MOVE_SECTORS / DMR_BLOCK_SECTORS)

/* Fresh places tried for one block before the spare itself is taken to be broken. */
#define PLACE_ATTEMPTS 8

struct move {
	struct list_head list;
	struct completion done;
	sector_t sector;
	sector_t count;
	int result;
};

/* What moved since the last commit. */
struct batch {
	struct dmr_target *target;
	struct dmr_update update;
	bool moved;
};

/*
 * An allow-list, as new statuses appear and numbers shift between kernels: SCSI reports a
 * bad sector in each of these three ways, NVMe as MEDIUM, virtio as IOERR.
 */
bool dmr_is_suspect(blk_status_t status)
{
	return status == BLK_STS_MEDIUM || status == BLK_STS_IOERR || status == BLK_STS_TARGET;
}

static void batch_begin(struct batch *b, struct dmr_target *t)
{
	b->target = t;
	b->moved = false;
	dmr_update_begin(&b->update, &t->extents);
}

/* Once a commit has failed no write is acknowledged any more: see dmr_store_commit(). */
static void fail_for_good(struct dmr_target *t)
{
	DMERR("%pg: remap table can no longer be written, refusing writes", t->spare->bdev);
	rcu_assign_pointer(t->mover.hold, &t->mover.everything);
	dm_table_event(t->ti->table);
}

static int batch_end(struct batch *b)
{
	struct dmr_target *t = b->target;
	int r;

	if (!b->moved)
		return 0;
	r = blkdev_issue_flush(t->spare->bdev);
	if (r)
		t->store.failed = true; /* entries are in memory that must not go out */
	else
		r = dmr_store_commit(&t->store);
	if (r) {
		dmr_update_drop(&b->update);
		fail_for_good(t);
		return r;
	}
	dmr_update_publish(&b->update);
	return 0;
}

/* Enter a range whose data is on the spare. The batch is unchanged if this fails. */
static int batch_add(struct batch *b, sector_t main, sector_t spare, sector_t sectors)
{
	struct dmr_store *s = &b->target->store;
	int r = dmr_store_reserve(s);

	if (!r)
		r = dmr_update_add(&b->update, main, spare, sectors);
	if (r)
		return r;
	dmr_store_add(s, main, spare, sectors);
	b->moved = true;
	return 0;
}

/* Failed writes */

/* Write @sectors of @bio, from @offset sectors into it, to @sector of @bdev. */
static blk_status_t write_piece(struct dmr_target *t, struct bio *bio, sector_t offset,
				sector_t sectors, struct block_device *bdev, sector_t sector)
{
	struct bio *piece = bio_alloc_clone(bdev, bio, GFP_NOIO, &t->mover.bios);
	blk_status_t status;

	/* It is waited for here: nobody polls, and nobody wants to hear that it would block. */
	piece->bi_opf &= ~(REQ_NOWAIT | REQ_RAHEAD | REQ_POLLED);
	bio_trim(piece, offset, sectors);
	piece->bi_iter.bi_sector = sector;
	submit_bio_wait(piece);
	status = piece->bi_status;
	bio_put(piece);
	return status;
}

/* Put one logical block of @bio on the spare. Places that cannot be written are left behind. */
static blk_status_t move_block(struct batch *b, struct bio *bio, sector_t offset)
{
	struct dmr_target *t = b->target;
	struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));
	sector_t main = bio->bi_iter.bi_sector + offset;
	unsigned int attempt;
	sector_t place;

	for (attempt = 0; attempt < PLACE_ATTEMPTS; attempt++) {
		if (!dmr_store_writable(&t->store) ||
		    !dmr_store_alloc(&t->store, t->unit, t->unit, &place))
			return BLK_STS_IOERR;
		if (write_piece(t, bio, offset, t->unit, t->spare->bdev, place))
			continue;
		if (batch_add(b, main, place, t->unit))
			return BLK_STS_IOERR;
		io->moved = true;
		DMINFO_LIMIT("%pg: sectors %llu+%u moved to %llu of %pg", t->main->bdev,
			     (unsigned long long)main, t->unit, (unsigned long long)place,
			     t->spare->bdev);
		return BLK_STS_OK;
	}
	DMERR_LIMIT("%pg: no writable place found", t->spare->bdev);
	return BLK_STS_IOERR;
}

static blk_status_t write_blocks(struct batch *b, struct bio *bio, sector_t offset,
				 sector_t sectors)
{
	struct dmr_target *t = b->target;
	const sector_t end = offset + sectors;
	blk_status_t status = BLK_STS_OK;

	for (; offset < end && !status; offset += t->unit) {
		status = write_piece(t, bio, offset, t->unit, t->main->bdev,
				     bio->bi_iter.bi_sector + offset);
		if (dmr_is_suspect(status))
			status = move_block(b, bio, offset);
	}
	return status;
}

/*
 * Send a write again, each part to where it belongs by now: the map may have changed since it
 * went out, and earlier bios of this batch may have moved its sectors.
 */
static blk_status_t rewrite(struct batch *b, struct bio *bio)
{
	struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));
	struct dmr_target *t = b->target;
	const sector_t sectors = bio_sectors(bio);
	blk_status_t status = BLK_STS_OK;
	struct dmr_place place;
	sector_t offset;

	if (READ_ONCE(t->store.failed))
		return BLK_STS_IOERR;
	for (offset = 0; offset < sectors && !status; offset += place.run) {
		dmr_update_lookup(&b->update, bio->bi_iter.bi_sector + offset,
				  min_t(sector_t, sectors - offset, PIECE_SECTORS), &place);
		status = write_piece(t, bio, offset, place.run,
				     place.on_spare ? t->spare->bdev : t->main->bdev, place.sector);
		/* Perhaps by an entry of this batch: then it stands and falls with the commit. */
		io->moved |= place.on_spare;
		if (dmr_is_suspect(status) && !place.on_spare)
			status = write_blocks(b, bio, offset, place.run);
	}
	return status;
}

static void end_write(struct bio *bio)
{
	struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));

	io->settled = true;
	/* It comes to bio_endio() a second time; blk-rq-qos counts it once. */
	bio_clear_flag(bio, BIO_QOS_THROTTLED);
	bio_clear_flag(bio, BIO_QOS_MERGED);
	bio_endio(bio);
}

static void rewrite_all(struct dmr_target *t, struct bio_list *writes)
{
	struct bio_list done = BIO_EMPTY_LIST;
	struct batch b;
	struct bio *bio;
	int r;

	batch_begin(&b, t);
	while ((bio = bio_list_pop(writes))) {
		struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));

		bio->bi_iter = io->iter;
		/* As if never sent: what is cloned from it must find its partition again. */
		bio_set_dev(bio, t->main->bdev);
		bio->bi_status = rewrite(&b, bio);
		bio_list_add(&done, bio);
	}
	r = batch_end(&b);
	while ((bio = bio_list_pop(&done))) {
		struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));

		if (r && io->moved)
			bio->bi_status = BLK_STS_IOERR;
		end_write(bio);
	}
}

/* Named moves */

static bool writers_left(struct dmr_target *t, u8 phase)
{
	unsigned long sum = 0;
	int cpu;

	/* A bio may be counted on one CPU and end on another: only the sum means something. */
	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*per_cpu_ptr(t->writers.count[phase], cpu));
	return sum;
}

/* From the return on, no write to the held sectors is in flight or goes out. */
static void hold_sectors(struct dmr_target *t, struct dmr_hold *hold)
{
	u8 old = t->writers.phase;

	rcu_assign_pointer(t->mover.hold, hold);
	/*
	 * Pairs with count_writer(): the phase is read before the hold, so that nobody who missed
	 * the hold is counted in the new phase, which is not waited for.
	 */
	smp_store_release(&t->writers.phase, !old);
	/* Whoever missed the hold has counted itself in the old phase by now. */
	synchronize_rcu();
	WRITE_ONCE(t->writers.awaited, true);
	wait_event(t->writers.idle, !writers_left(t, old));
	WRITE_ONCE(t->writers.awaited, false);
}

static void release_sectors(struct dmr_target *t)
{
	/* Unless a commit has failed: then everything is held. */
	if (rcu_access_pointer(t->mover.hold) != &t->mover.everything)
		RCU_INIT_POINTER(t->mover.hold, NULL);
	synchronize_rcu();
}

static blk_status_t transfer(struct dmr_target *t, struct page *const *page, sector_t sectors,
			     blk_opf_t opf, struct block_device *bdev, sector_t sector)
{
	struct bio *bio = bio_alloc_bioset(bdev, MOVE_PAGES, opf, GFP_NOIO, &t->mover.bios);
	unsigned int i, bytes = sectors << SECTOR_SHIFT;
	blk_status_t status;

	bio->bi_iter.bi_sector = sector;
	for (i = 0; bytes; i++) {
		unsigned int part = min_t(unsigned int, bytes, PAGE_SIZE);

		__bio_add_page(bio, page[i], part, 0);
		bytes -= part;
	}
	submit_bio_wait(bio);
	status = bio->bi_status;
	bio_put(bio);
	return status;
}

/* Copy untouched, held sectors to a fresh place and commit that. */
static int move_held(struct dmr_target *t, struct page *const *page, sector_t sector,
		     sector_t count)
{
	sector_t place, run;
	struct batch b;
	int r;

	if (transfer(t, page, count, REQ_OP_READ, t->main->bdev, sector))
		return -EIO;
	run = dmr_store_alloc(&t->store, count, t->unit, &place);
	if (run < count)
		return run ? -EAGAIN : -ENOSPC;
	if (transfer(t, page, count, REQ_OP_WRITE, t->spare->bdev, place))
		return -EIO;
	batch_begin(&b, t);
	r = batch_add(&b, sector, place, count);
	if (r) {
		dmr_update_drop(&b.update);
		return r;
	}
	return batch_end(&b);
}

/*
 * As move_held(), and block by block where that did not work. Goes on past errors; the first is
 * returned.
 */
static int move_run(struct dmr_target *t, struct page *const *page, sector_t sector, sector_t count)
{
	struct dmr_hold hold = { .start = sector, .end = sector + count };
	int r, result = 0;

	hold_sectors(t, &hold);
	r = move_held(t, page, sector, count);
	if (r == -EIO || r == -EAGAIN) {
		for (; sector < hold.end; sector += t->unit) {
			r = move_held(t, page, sector, t->unit);
			if (!result)
				result = r;
		}
		r = result;
	}
	release_sectors(t);
	return r;
}

static int serve_move(struct dmr_target *t, sector_t sector, sector_t count)
{
	struct page *page[MOVE_PAGES] = {};
	const sector_t end = sector + count;
	struct dmr_place place;
	int r = 0, result = 0;
	unsigned int i;

	for (i = 0; i < MOVE_PAGES; i++) {
		page[i] = alloc_page(GFP_NOIO);
		if (!page[i])
			result = -ENOMEM;
	}
	for (; sector < end && result != -ENOMEM; sector += place.run) {
		if (READ_ONCE(t->mover.stopped)) {
			result = -EBUSY;
			break;
		}
		rcu_read_lock();
		dmr_lookup(&t->extents, sector, min_t(sector_t, end - sector, MOVE_SECTORS),
			   &place);
		rcu_read_unlock();
		if (place.on_spare)
			continue;
		r = dmr_store_reserve(&t->store);
		if (!r)
			r = move_run(t, page, sector, place.run);
		if (r)
			result = r;
		if (r && r != -EIO)
			break;
	}
	for (i = 0; i < MOVE_PAGES; i++)
		if (page[i])
			__free_page(page[i]);
	return result;
}

int dmr_move(struct dmr_target *t, sector_t sector, sector_t count)
{
	struct move m = { .sector = sector, .count = count };
	struct dmr_mover *v = &t->mover;
	bool stopped;

	init_completion(&m.done);
	spin_lock_irq(&v->lock);
	stopped = v->stopped;
	if (!stopped) {
		list_add_tail(&m.list, &v->moves);
		queue_work(v->wq, &v->work);
	}
	spin_unlock_irq(&v->lock);
	if (stopped)
		return -EBUSY;
	wait_for_completion(&m.done);
	return m.result;
}

/* The worker */

static void mover_work(struct work_struct *work)
{
	struct dmr_target *t = container_of(work, struct dmr_target, mover.work);
	struct dmr_mover *v = &t->mover;
	struct bio_list writes;
	struct move *m;

	spin_lock_irq(&v->lock);
	writes = v->writes;
	bio_list_init(&v->writes);
	m = list_first_entry_or_null(&v->moves, struct move, list);
	if (m)
		list_del(&m->list);
	spin_unlock_irq(&v->lock);

	rewrite_all(t, &writes);
	if (m) {
		m->result = serve_move(t, m->sector, m->count);
		complete(&m->done);
		queue_work(v->wq, &v->work);
	}
}

/*
 * Work is queued before the lock is dropped: as soon as the worker can see the bio it can end it,
 * and with the last bio the wait of a suspend or a removal ends, too. Queueing on a workqueue that
 * drains would leave the work pending for ever.
 */
void dmr_mover_take(struct dmr_target *t, struct bio *bio)
{
	struct dmr_mover *v = &t->mover;
	unsigned long flags;

	spin_lock_irqsave(&v->lock, flags);
	bio_list_add(&v->writes, bio);
	queue_work(v->wq, &v->work);
	spin_unlock_irqrestore(&v->lock, flags);
}

void dmr_mover_start(struct dmr_target *t)
{
	spin_lock_irq(&t->mover.lock);
	WRITE_ONCE(t->mover.stopped, false);
	spin_unlock_irq(&t->mover.lock);
}

void dmr_mover_stop(struct dmr_target *t)
{
	spin_lock_irq(&t->mover.lock);
	WRITE_ONCE(t->mover.stopped, true);
	spin_unlock_irq(&t->mover.lock);
}

void dmr_mover_drain(struct dmr_target *t)
{
	drain_workqueue(t->mover.wq);
}

int dmr_mover_init(struct dmr_target *t)
{
	struct dmr_mover *v = &t->mover;
	int r;

	INIT_WORK(&v->work, mover_work);
	spin_lock_init(&v->lock);
	bio_list_init(&v->writes);
	INIT_LIST_HEAD(&v->moves);
	init_waitqueue_head(&t->writers.idle);
	v->stopped = true;
	v->everything.end = t->ti->len;

	r = bioset_init(&v->bios, MOVE_PAGES, 0, BIOSET_NEED_BVECS);
	if (r)
		return r;
	t->writers.count[0] = alloc_percpu(unsigned long);
	t->writers.count[1] = alloc_percpu(unsigned long);
	v->wq = alloc_ordered_workqueue("dm-remap", WQ_MEM_RECLAIM);
	return t->writers.count[0] && t->writers.count[1] && v->wq ? 0 : -ENOMEM;
}

/* Also after a dmr_mover_init() that failed or was never called: everything is zero then. */
void dmr_mover_exit(struct dmr_target *t)
{
	if (t->mover.wq)
		destroy_workqueue(t->mover.wq);
	free_percpu(t->writers.count[0]);
	free_percpu(t->writers.count[1]);
	bioset_exit(&t->mover.bios);
}
