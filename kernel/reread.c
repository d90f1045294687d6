// SPDX-License-Identifier: GPL-2.0-only
/*
 * Failed reads are sent again, in pieces: what cannot be read is found to the block, and becomes
 * pending. What came back only now is moved while it can be read.
 *
 * By a worker of its own, as a broken disk may try for seconds to read a sector, and failed writes
 * should not have to wait for that.
 */
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "target.h"

/*
 * For so long after it failed a read is tried, or waits for others that are; what was not tried
 * fails, and is not pending.
 */
#define PATIENCE (30 * HZ)

/* A read that is tried again. */
struct attempt {
	struct dmr_target *target;
	struct bio *bio;
	struct dmr_io *io;
	blk_status_t status; /* the first failure */
	bool any; /* something could be read */
	bool weak; /* something could be read only in single blocks */
	bool gone; /* main cannot be read at all */
};

bool dmr_read_failed(blk_status_t status, const struct bio *bio)
{
	/* Whoever reads ahead will come again if he means it. */
	return dmr_is_unreadable(status) && !(bio->bi_opf & REQ_RAHEAD);
}

/* At most @sectors of the bio from @offset on, wherever they are now: see @place. */
static blk_status_t read_place(struct attempt *a, sector_t offset, sector_t sectors,
			       struct dmr_place *place)
{
	const struct dmr_spare *spare = dmr_spare(a->target);

	*place = dmr_locate(&spare->extents, a->bio->bi_iter.bi_sector + offset, sectors);
	if (place->pending && place->on_spare)
		return BLK_STS_IOERR;
	return dmr_piece(a->target, a->bio, offset, place->run, dmr_holder(a->target, spare, place),
			 place->sector);
}

/* To move, some time soon, what was read with trouble. NULL if there is no memory for it. */
static struct dmr_errand *rescue(sector_t sector, sector_t sectors)
{
	struct dmr_errand *e = kzalloc(struct_size(e, range, 1), GFP_NOIO | __GFP_NOWARN);

	if (e) {
		e->run = dmr_rescue;
		e->ranges = 1;
		e->range[0].start = sector;
		e->range[0].end = sector + sectors;
	}
	return e;
}

static bool impatient(const struct attempt *a)
{
	return time_after(jiffies, a->io->failed + PATIENCE);
}

/* One block: where it is now is looked up again, as it may have moved since. */
static bool read_block(struct attempt *a, sector_t offset)
{
	struct dmr_target *t = a->target;
	const sector_t sector = a->bio->bi_iter.bi_sector + offset;
	struct dmr_place place;
	blk_status_t status = read_place(a, offset, t->unit, &place);

	if (!status) {
		a->any = true;
		return true;
	}
	if (!a->status)
		a->status = status;
	/* If there is no memory for it, the next read finds it again. */
	if (!place.on_spare && dmr_is_unreadable(status))
		dmr_ranges_add(&a->io->unreadable, sector, t->unit);
	return false;
}

/* What was not looked at has failed with what the whole has. */
static void give_up(struct attempt *a)
{
	if (!a->status)
		a->status = a->bio->bi_status;
}

/* A piece that failed as a whole. If none of its blocks fails, one of them needs several goes. */
static void read_blocks(struct attempt *a, sector_t offset, const struct dmr_place *place)
{
	struct dmr_target *t = a->target;
	struct dmr_errand *e;
	bool all = true;
	sector_t done;

	for (done = 0; done < place->run && !impatient(a); done += t->unit)
		all &= read_block(a, offset + done);
	if (done < place->run) {
		give_up(a);
		return;
	}
	if (!all || place->on_spare)
		return;
	a->weak = true;
	e = rescue(a->bio->bi_iter.bi_sector + offset, place->run);
	if (e)
		dmr_mover_queue(t, e);
}

static void reread(struct attempt *a)
{
	struct dmr_target *t = a->target;
	struct bio *bio = a->bio;
	const sector_t sectors = bio_sectors(bio);
	struct dmr_place place;
	sector_t offset;

	for (offset = 0; offset < sectors && !a->gone; offset += place.run) {
		if (impatient(a)) {
			give_up(a);
			break;
		}
		if (!read_place(a, offset, min_t(sector_t, sectors - offset, DMR_PIECE_SECTORS),
				&place)) {
			a->any = true;
			continue;
		}
		read_blocks(a, offset, &place);
		/* A main that is gone has no bad sectors. */
		a->gone = !a->any && dmr_main_gone(t, t->reader.page);
	}
}

/*
 * Read again what @bio asked for and end it. Returns true if that went as if nothing had been: then
 * it failed with a neighbour that it shared a request with, or one of its sectors is weak.
 */
static bool serve(struct dmr_target *t, struct bio *bio)
{
	struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));
	struct attempt a = { .target = t, .bio = bio, .io = io };

	INIT_LIST_HEAD(&io->unreadable);
	reread(&a);
	bio->bi_status = a.status;
	if (a.gone)
		dmr_ranges_free(&io->unreadable);
	if (list_empty(&io->unreadable))
		dmr_end(bio);
	else
		dmr_mover_take(t, bio);
	return !a.status && !a.weak;
}

static struct bio *next_read(struct dmr_worker *w)
{
	struct bio *bio;

	spin_lock_irq(&w->lock);
	bio = bio_list_pop(&w->bios);
	spin_unlock_irq(&w->lock);
	if (bio)
		dmr_rewind(bio);
	return bio;
}

/* Bios that failed together, in one request, come together. */
static void reader_work(struct work_struct *work)
{
	struct dmr_target *t = container_of(work, struct dmr_target, reader.worker.work);
	const unsigned int noio = memalloc_noio_save();
	struct dmr_errand *e, *next;
	bool explained = false;
	LIST_HEAD(unharmed);
	struct bio *bio;

	while ((bio = next_read(&t->reader.worker))) {
		bool harmed;

		e = rescue(bio->bi_iter.bi_sector, bio_sectors(bio));
		harmed = !serve(t, bio);
		explained |= harmed;
		if (e && !harmed)
			list_add_tail(&e->list, &unharmed);
		else
			kfree(e);
	}
	list_for_each_entry_safe(e, next, &unharmed, list) {
		list_del(&e->list);
		if (explained)
			kfree(e);
		else
			dmr_mover_queue(t, e);
	}
	memalloc_noio_restore(noio);
}

/* True if a part of what could not be read has moved to the spare since. */
static bool has_moved(const struct dmr_batch *b, const struct dmr_range *r)
{
	struct dmr_place place;
	sector_t sector;

	for (sector = r->start; sector < r->end; sector += place.run) {
		dmr_update_lookup(&b->update, sector, r->end - sector, &place);
		if (place.on_spare)
			return true;
	}
	return false;
}

bool dmr_reader_settle(struct dmr_batch *b, struct bio *bio)
{
	struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));
	struct dmr_target *t = b->target;
	const struct dmr_range *r;

	list_for_each_entry(r, &io->unreadable, list) {
		if (!has_moved(b, r))
			continue;
		dmr_ranges_free(&io->unreadable);
		dmr_reader_take(t, bio);
		return false;
	}
	list_for_each_entry(r, &io->unreadable, list) {
		DMWARN_LIMIT("%s: %pg: sectors %llu+%u cannot be read",
			     dmr_set_name(&t->spare->store), t->main->bdev,
			     (unsigned long long)r->start, (unsigned int)(r->end - r->start));
		/* If there is no memory for it, the next read finds it again. */
		dmr_update_set(&b->update, r->start, DMR_PENDING, r->end - r->start);
	}
	dmr_ranges_free(&io->unreadable);
	return true;
}

void dmr_reader_take(struct dmr_target *t, struct bio *bio)
{
	struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));

	io->failed = jiffies;
	dmr_worker_give(&t->reader.worker, bio);
}

void dmr_reader_drain(struct dmr_target *t)
{
	drain_workqueue(t->reader.worker.wq);
}

int dmr_reader_init(struct dmr_target *t)
{
	t->reader.page = alloc_page(GFP_KERNEL);
	if (!t->reader.page)
		return -ENOMEM;
	return dmr_worker_init(&t->reader.worker, "dm-remap-read", reader_work);
}

void dmr_reader_exit(struct dmr_target *t)
{
	dmr_worker_exit(&t->reader.worker);
	if (t->reader.page)
		__free_page(t->reader.page);
}
