// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sectors that can be read move to the spare with their data: somebody names them, or reading them
 * took several goes.
 */
#include <linux/bitmap.h>
#include <linux/blkdev.h>

#include "target.h"

/* Blocks of [@sector, @sector + @count) one by one to the mover's pages; a bit per bad sector. */
static void read_blocks(struct dmr_target *t, sector_t sector, sector_t count, unsigned long *bad)
{
	sector_t at;

	for (at = 0; at < count; at += t->unit)
		if (dmr_transfer(t, t->mover.page, at, t->unit, REQ_OP_READ, t->main->bdev,
				 sector + at))
			bitmap_set(bad, at, t->unit);
}

/* What the mover's pages hold from @at sectors on, to as many runs of places as it takes. */
static int put_on_spare(struct dmr_batch *b, sector_t sector, sector_t at, sector_t count)
{
	struct dmr_target *t = b->target;
	sector_t place, run, done;
	int r = 0;

	for (; count && !r; sector += run, at += run, count -= run) {
		run = min_t(sector_t, count, dmr_region_left(&t->extents, sector));
		run = dmr_store_alloc(&t->store, run, t->unit, &place);
		if (!run)
			return -ENOSPC;
		if (!dmr_transfer(t, t->mover.page, at, run, REQ_OP_WRITE, t->spare->bdev, place)) {
			r = dmr_batch_add(b, sector, place, run, false);
			continue;
		}
		dmr_store_seek(&t->store, place);
		for (done = 0; done < run && !r; done += t->unit)
			r = dmr_put_block(b, sector + done, at + done, false);
	}
	return r;
}

/* Enter what is in the mover's pages, but for what is @bad. */
static int enter(struct dmr_batch *b, sector_t sector, sector_t count, const unsigned long *bad)
{
	sector_t at, end;
	int r = 0;

	for (at = 0; at < count && !r; at = end) {
		if (test_bit(at, bad)) {
			end = find_next_zero_bit(bad, count, at);
			/* If there is no memory for it, the next read finds them again. */
			dmr_update_set(&b->update, sector + at, DMR_PENDING, end - at);
		} else {
			end = find_next_bit(bad, count, at);
			r = put_on_spare(b, sector + at, at, end - at);
		}
	}
	return r;
}

/* What move_held() returns if some sectors could not be read: these are pending now. */
#define UNREADABLE 1

/* Move held sectors, in one commit. */
static int move_held(struct dmr_target *t, sector_t sector, sector_t count)
{
	DECLARE_BITMAP(bad, DMR_MOVE_SECTORS);
	struct dmr_batch b;
	int committed, r;

	bitmap_zero(bad, DMR_MOVE_SECTORS);
	if (dmr_transfer(t, t->mover.page, 0, count, REQ_OP_READ, t->main->bdev, sector)) {
		/* Before each block is tried: a main that is gone has no bad sectors. */
		if (dmr_main_gone(t, t->mover.page[0]))
			return -EIO;
		read_blocks(t, sector, count, bad);
	}
	dmr_batch_begin(&b, t);
	r = enter(&b, sector, count, bad);
	committed = dmr_batch_end(&b);
	if (committed || r)
		return committed ? committed : r;
	return bitmap_empty(bad, DMR_MOVE_SECTORS) ? 0 : UNREADABLE;
}

/* Move a run of at most DMR_MOVE_SECTORS that is on main. */
static int move_run(struct dmr_target *t, sector_t sector, sector_t count)
{
	struct dmr_range held = { .start = sector, .end = sector + count };
	int r = dmr_store_reserve(&t->store);

	if (r)
		return r;
	dmr_hold(t, &held);
	dmr_drain_writers(t);
	r = move_held(t, sector, count);
	dmr_release(&held);
	return r;
}

/* One run. What is left is done in further steps, also behind sectors that cannot be read. */
static int step(struct dmr_target *t, struct dmr_errand *e, bool rescue)
{
	const struct dmr_place place =
		dmr_locate(&t->extents, e->sector, min_t(sector_t, e->count, DMR_MOVE_SECTORS));
	int r = 0;

	if (!place.on_spare && rescue && !dmr_guard_read(t, place.run))
		return -EBUSY;
	if (!place.on_spare)
		r = move_run(t, e->sector, place.run);
	if (r == UNREADABLE)
		e->result = -EIO;
	else if (r)
		return r;
	e->sector += place.run;
	e->count -= place.run;
	return e->count ? DMR_AGAIN : e->result;
}

int dmr_move(struct dmr_target *t, struct dmr_errand *e)
{
	return step(t, e, false);
}

int dmr_rescue(struct dmr_target *t, struct dmr_errand *e)
{
	return step(t, e, true);
}
