// SPDX-License-Identifier: GPL-2.0-only
/*
 * Failed writes, and the one worker that changes the store and the map.
 *
 * It works in batches: every bio that waits when one starts.
 *
 *   send it again, in pieces; what fails again goes to a fresh place on the spare
 *   flush the spare                      the data is stable before any entry leads to it
 *   commit the entries of the batch      stable in the copies
 *   publish them in the map              later I/O goes to the spare
 *   end the bios                         only now is anything acknowledged
 */
#include <linux/blkdev.h>
#include <linux/jiffies.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "target.h"

/* Pages of a piece. The mover's first ones are compared with those behind them. */
#define PIECE_PAGES (DMR_PIECE_SECTORS / DMR_BLOCK_SECTORS)

/*
 * Where a disk takes long for each block, blocks are not tried for longer than this in a batch. The
 * others of the bio at hand move untried, and no further bio is begun: nothing of a batch is
 * acknowledged before its end.
 */
#define PATIENCE (30 * HZ)

static bool impatient(const struct dmr_batch *b)
{
	return time_after(jiffies, b->began + PATIENCE);
}

/* Put one logical block of @bio on the spare; @again: from another place there. */
static blk_status_t move_block(struct dmr_batch *b, struct bio *bio, sector_t offset, bool again)
{
	struct dmr_target *t = b->target;
	struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));

	if (!again && !dmr_guard_write(t, t->unit))
		return BLK_STS_IOERR;
	dmr_copy_data(bio, offset, t->unit, t->mover.page);
	if (dmr_put_block(b, bio->bi_iter.bi_sector + offset, 0, again))
		return BLK_STS_IOERR;
	io->moved = true;
	return BLK_STS_OK;
}

static blk_status_t write_place(struct dmr_target *t, struct bio *bio, sector_t offset,
				const struct dmr_place *place)
{
	blk_status_t status = dmr_piece(t, bio, offset, place->run, dmr_holder(t, t->spare, place),
					place->sector);

	if (place->on_spare)
		dmr_note_change(t, bio->bi_iter.bi_sector + offset);
	if (status)
		return status;
	dmr_note_write(t, bio, place->on_spare);
	return BLK_STS_OK;
}

/* What failed as a piece, block by block, wherever it is. */
static blk_status_t write_blocks(struct dmr_batch *b, struct bio *bio, sector_t offset,
				 const struct dmr_place *piece)
{
	struct dmr_target *t = b->target;
	blk_status_t status = BLK_STS_OK;
	struct dmr_place block = *piece;
	sector_t done;

	block.run = t->unit;
	for (done = 0; done < piece->run && !status; done += t->unit) {
		block.sector = piece->sector + done;
		status = impatient(b) ? BLK_STS_IOERR : write_place(t, bio, offset + done, &block);
		if (dmr_is_suspect(status))
			status = move_block(b, bio, offset + done, piece->on_spare);
	}
	return status;
}

static bool same(struct page *const *a, struct page *const *b, sector_t sectors)
{
	unsigned int i, bytes = sectors << SECTOR_SHIFT;

	for (i = 0; bytes; i++) {
		unsigned int part = min_t(unsigned int, bytes, PAGE_SIZE);

		if (memcmp(page_address(a[i]), page_address(b[i]), part))
			return false;
		bytes -= part;
	}
	return true;
}

/* Write to main and read back. A drive that reads from its cache is believed. */
static blk_status_t write_and_compare(struct dmr_target *t, struct bio *bio, sector_t offset,
				      sector_t sectors)
{
	struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));
	struct page **data = t->mover.page, **back = data + PIECE_PAGES;
	const sector_t sector = bio->bi_iter.bi_sector + offset;
	struct block_device *main = t->main->bdev;
	blk_status_t status;

	dmr_copy_data(bio, offset, sectors, data);
	status = dmr_transfer(t, data, 0, sectors, REQ_OP_WRITE | REQ_SYNC, main, sector);
	if (status)
		return status;
	if (dmr_flush_main(t)) {
		/* It goes to the spare, and nothing else of the bio was written before. */
		if (!offset && !io->behind)
			dmr_flush_note(t, io);
		return BLK_STS_MEDIUM;
	}
	if (dmr_transfer(t, back, 0, sectors, REQ_OP_READ, main, sector) ||
	    !same(data, back, sectors))
		return BLK_STS_MEDIUM;
	dmr_guard_relax(t);
	return BLK_STS_OK;
}

/* What could not be read: a drive may say that it wrote it, and still not be able to read it. */
static blk_status_t write_pending(struct dmr_batch *b, struct bio *bio, sector_t offset,
				  sector_t sectors)
{
	struct dmr_target *t = b->target;
	const sector_t end = offset + sectors;
	blk_status_t status = write_and_compare(t, bio, offset, sectors);

	if (!status) {
		/* If there is no memory for it they just stay pending. */
		dmr_update_clear(&b->update, bio->bi_iter.bi_sector + offset, sectors);
	} else if (dmr_is_suspect(status) && sectors == t->unit) {
		status = move_block(b, bio, offset, false);
	} else if (dmr_is_suspect(status)) {
		for (status = BLK_STS_OK; offset < end && !status; offset += t->unit)
			status = write_pending(b, bio, offset, t->unit);
	}
	return status;
}

/* With the first write there is data: the entry says so from the next commit on. */
static blk_status_t write_first(struct dmr_batch *b, struct bio *bio, sector_t offset,
				const struct dmr_place *run)
{
	struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));
	struct dmr_target *t = b->target;
	struct dmr_place block = *run;
	blk_status_t status = BLK_STS_OK;
	sector_t done;

	if (dmr_store_begin(&t->spare->store))
		return BLK_STS_IOERR;
	io->moved = true;
	block.run = t->unit;
	for (done = 0; done < run->run && !status; done += t->unit) {
		block.sector = run->sector + done;
		dmr_batch_data(b);
		status = write_place(t, bio, offset + done, &block);
		if (dmr_is_suspect(status))
			status = move_block(b, bio, offset + done, true);
		else if (!status && dmr_batch_add(b, bio->bi_iter.bi_sector + offset + done,
						  block.sector, t->unit, true))
			status = BLK_STS_IOERR;
	}
	return status;
}

static blk_status_t write_run(struct dmr_batch *b, struct bio *bio, sector_t offset,
			      const struct dmr_place *place)
{
	struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));
	const bool discard = bio_op(bio) == REQ_OP_DISCARD;
	blk_status_t status;

	if (place->pending && !discard)
		return place->on_spare ? write_first(b, bio, offset, place)
				       : write_pending(b, bio, offset, place->run);
	if (dmr_is_moot(b->target->spare, bio, place->on_spare))
		return BLK_STS_OK;
	/* Perhaps by an entry of this batch: then it stands and falls with the commit. */
	io->moved |= place->on_spare;
	status = write_place(b->target, bio, offset, place);
	if (!dmr_is_suspect(status) || discard)
		return status;
	if (place->run == b->target->unit)
		return move_block(b, bio, offset, place->on_spare);
	return write_blocks(b, bio, offset, place);
}

/*
 * Send a write again, each part to where it belongs by now: the map may have changed since it
 * went out, and earlier bios of this batch may have moved its sectors.
 */
static blk_status_t rewrite(struct dmr_batch *b, struct bio *bio)
{
	struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));
	const bool discard = bio_op(bio) == REQ_OP_DISCARD;
	const sector_t start = bio->bi_iter.bi_sector, sectors = bio_sectors(bio);
	blk_status_t status = BLK_STS_OK;
	struct dmr_place place;
	sector_t offset;

	/* What is still held now is so after a failure. */
	if (dmr_flush_refuses(b->target, bio) ||
	    dmr_overlaps_hold(b->target, start, start + sectors))
		return BLK_STS_IOERR;
	if (!io->behind)
		dmr_flush_note(b->target, io);
	for (offset = 0; offset < sectors && !status; offset += place.run) {
		dmr_update_lookup(&b->update, start + offset,
				  discard ? sectors - offset
					  : min_t(sector_t, sectors - offset, DMR_PIECE_SECTORS),
				  &place);
		status = write_run(b, bio, offset, &place);
	}
	return status;
}

/* Returns those of @bios that are to be ended after the batch; some may be left. */
static struct bio_list rewrite_all(struct dmr_batch *b, struct bio_list *bios)
{
	struct bio_list done = BIO_EMPTY_LIST;
	struct bio *bio;

	while (!impatient(b) && (bio = bio_list_pop(bios))) {
		struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));

		if (io->flush) {
			dmr_flush_settle(b->target, bio);
		} else if (bio_op(bio) == REQ_OP_READ) {
			if (dmr_reader_settle(b, bio))
				bio_list_add(&done, bio);
		} else {
			dmr_rewind(bio);
			bio->bi_status = rewrite(b, bio);
			bio_list_add(&done, bio);
		}
	}
	return done;
}

static void serve_bios(struct dmr_target *t, struct bio_list *bios)
{
	struct bio_list done;
	struct dmr_batch b;
	struct bio *bio;
	int r;

	dmr_batch_begin(&b, t);
	done = rewrite_all(&b, bios);
	r = dmr_batch_end(&b);
	while ((bio = bio_list_pop(&done))) {
		struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));

		if (r && io->moved)
			bio->bi_status = BLK_STS_IOERR;
		/* What stays was in a cache for the rest of the batch; a flush that failed was told before. */
		if (bio_op(bio) != REQ_OP_READ && dmr_flush_lost(t, io, DMR_MAIN | DMR_SPARE))
			bio->bi_status = BLK_STS_IOERR;
		dmr_end(bio);
	}
}

static struct dmr_errand *next_errand(struct dmr_mover *v)
{
	struct dmr_errand *e;

	spin_lock_irq(&v->worker.lock);
	e = list_first_entry_or_null(&v->errands, struct dmr_errand, list);
	if (e)
		list_del(&e->list);
	spin_unlock_irq(&v->worker.lock);
	return e;
}

/* A step of an errand: bios that wait for what it held don't wait for the rest. */
static void serve_errand(struct dmr_target *t, struct dmr_errand *e)
{
	struct dmr_mover *v = &t->mover;
	int r = READ_ONCE(v->stopped) ? -EBUSY : READ_ONCE(e->given_up) ? -EINTR : e->run(t, e);
	const bool again = r == DMR_AGAIN;
	bool waited_for;

	spin_lock_irq(&v->worker.lock);
	waited_for = e->waited_for;
	if (again) {
		list_add_tail(&e->list, &v->errands);
	} else if (waited_for) {
		e->result = r;
		complete(&e->done);
	}
	spin_unlock_irq(&v->worker.lock);
	if (!again && !waited_for)
		kfree(e);
}

/* One, so that bios that come meanwhile are served before the next; when stopped they all end. */
static bool serve_errands(struct dmr_target *t)
{
	struct dmr_mover *v = &t->mover;
	struct dmr_errand *e = next_errand(v);
	bool any = e;

	while (e) {
		serve_errand(t, e);
		e = READ_ONCE(v->stopped) ? next_errand(v) : NULL;
	}
	return any;
}

static void mover_work(struct work_struct *work)
{
	struct dmr_target *t = container_of(work, struct dmr_target, mover.worker.work);
	/* The root and swap may be on this: nothing here may wait for their I/O. */
	const unsigned int noio = memalloc_noio_save();
	struct dmr_mover *v = &t->mover;
	struct bio_list bios = dmr_worker_take(&v->worker);
	unsigned int reserves;
	bool more;

	/* What is written may be swapped out: there may be no memory but what this frees. */
	reserves = memalloc_noreclaim_save();
	serve_bios(t, &bios);
	memalloc_noreclaim_restore(reserves);
	more = serve_errands(t) || !bio_list_empty(&bios);
	spin_lock_irq(&v->worker.lock);
	bio_list_merge_head(&v->worker.bios, &bios);
	if (more)
		queue_work(v->worker.wq, &v->worker.work);
	spin_unlock_irq(&v->worker.lock);
	dmr_report(t);
	memalloc_noio_restore(noio);
}

void dmr_mover_take(struct dmr_target *t, struct bio *bio)
{
	dmr_worker_give(&t->mover.worker, bio);
}

void dmr_mover_kick(struct dmr_target *t)
{
	struct dmr_mover *v = &t->mover;
	unsigned long flags;

	/* While it is stopped it may drain, and it is kicked when it starts again. */
	spin_lock_irqsave(&v->worker.lock, flags);
	if (!v->stopped)
		queue_work(v->worker.wq, &v->worker.work);
	spin_unlock_irqrestore(&v->worker.lock, flags);
}

static bool queue_errand(struct dmr_mover *v, struct dmr_errand *e)
{
	unsigned long flags;
	bool stopped;

	spin_lock_irqsave(&v->worker.lock, flags);
	stopped = v->stopped;
	if (!stopped) {
		list_add_tail(&e->list, &v->errands);
		queue_work(v->worker.wq, &v->worker.work);
	}
	spin_unlock_irqrestore(&v->worker.lock, flags);
	return !stopped;
}

int dmr_mover_run(struct dmr_target *t, struct dmr_errand *e)
{
	struct dmr_mover *v = &t->mover;
	int r = -EBUSY;
	bool ended;

	init_completion(&e->done);
	e->waited_for = true;
	if (!queue_errand(v, e))
		goto out;
	/* Whoever waits for this need not keep the machine from being suspended. */
	if (wait_for_completion_state(&e->done, TASK_KILLABLE | TASK_FREEZABLE)) {
		/* Whoever waited is about to die; it ends after the step that it is in, if any. */
		spin_lock_irq(&v->worker.lock);
		e->waited_for = false;
		WRITE_ONCE(e->given_up, true);
		ended = completion_done(&e->done);
		spin_unlock_irq(&v->worker.lock);
		if (!ended)
			return -EINTR;
	}
	r = e->result;
out:
	kfree(e);
	return r;
}

int dmr_mover_do(struct dmr_target *t, int (*run)(struct dmr_target *t, struct dmr_errand *e))
{
	struct dmr_errand *e = kzalloc(sizeof(*e), GFP_NOIO);

	if (!e)
		return -ENOMEM;
	e->run = run;
	return dmr_mover_run(t, e);
}

void dmr_mover_queue(struct dmr_target *t, struct dmr_errand *e)
{
	if (!queue_errand(&t->mover, e))
		kfree(e);
}

void dmr_mover_start(struct dmr_target *t)
{
	spin_lock_irq(&t->mover.worker.lock);
	WRITE_ONCE(t->mover.stopped, false);
	spin_unlock_irq(&t->mover.worker.lock);
	dmr_mover_kick(t);
}

void dmr_mover_stop(struct dmr_target *t)
{
	spin_lock_irq(&t->mover.worker.lock);
	WRITE_ONCE(t->mover.stopped, true);
	spin_unlock_irq(&t->mover.worker.lock);
}

void dmr_mover_drain(struct dmr_target *t)
{
	/* In this order, as nothing may be queued from outside while it drains. */
	flush_workqueue(t->mover.worker.wq);
	dmr_guard_cancel(t);
	drain_workqueue(t->mover.worker.wq);
}

int dmr_mover_init(struct dmr_target *t)
{
	struct dmr_mover *v = &t->mover;
	unsigned int i;

	INIT_LIST_HEAD(&v->errands);
	v->stopped = true;
	for (i = 0; i < ARRAY_SIZE(v->page); i++) {
		v->page[i] = alloc_page(GFP_KERNEL);
		if (!v->page[i])
			return -ENOMEM;
	}
	return dmr_worker_init(&v->worker, "dm-remap", mover_work);
}

/* Also after a dmr_mover_init() that failed or was never called: everything is zero then. */
void dmr_mover_exit(struct dmr_target *t)
{
	struct dmr_mover *v = &t->mover;
	unsigned int i;

	dmr_worker_exit(&v->worker);
	for (i = 0; i < ARRAY_SIZE(v->page); i++)
		if (v->page[i])
			__free_page(v->page[i]);
}
