// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sectors that can be read move to the spare with their data: somebody names them, or reading them
 * took several goes.
 */
#include <linux/bitmap.h>
#include <linux/blkdev.h>
#include <linux/jiffies.h>
#include <linux/sched/mm.h>

#include "target.h"

/* A step takes no longer than this and another attempt to read: failed writes wait for it. */
#define PATIENCE (10 * HZ)

/* What is moved with one commit: runs of main, one behind the other in the mover's pages. */
struct move {
	struct dmr_target *target;
	const struct dmr_range *held; /* the runs, ascending */
	unsigned int runs;
	sector_t sectors; /* of all of them */
	sector_t upto; /* what lies behind it is left to the next step */
	unsigned long began; /* jiffies */
	bool any; /* something could be read */
	DECLARE_BITMAP(bad, DMR_MOVE_SECTORS); /* could not, by its place in the pages */
};

/* One block is tried in any case. */
static bool impatient(const struct move *m, sector_t sector)
{
	return sector > m->held->start &&
	       (READ_ONCE(m->target->mover.stopped) || time_after(jiffies, m->began + PATIENCE));
}

/* Blocks of a run one by one. An error if one failed for what isn't a bad sector. */
static int read_blocks(struct move *m, const struct dmr_range *run, sector_t at)
{
	struct dmr_target *t = m->target;
	blk_status_t status;
	sector_t sector;

	for (sector = run->start; sector < run->end; sector += t->unit, at += t->unit) {
		if (impatient(m, sector)) {
			m->upto = sector;
			return 0;
		}
		status = dmr_transfer(t, t->mover.page, at, t->unit, REQ_OP_READ, t->main->bdev,
				      sector);
		if (!status)
			m->any = true;
		else if (dmr_is_unreadable(status))
			bitmap_set(m->bad, at, t->unit);
		else
			return blk_status_to_errno(status);
	}
	return 0;
}

/* To the pages, from @at sectors on. As above, or -EIO if main is gone: it has no bad sectors. */
static int read_run(struct move *m, const struct dmr_range *run, sector_t at)
{
	struct dmr_target *t = m->target;

	if (impatient(m, run->start)) {
		m->upto = run->start;
		return 0;
	}
	if (!dmr_transfer(t, t->mover.page, at, run->end - run->start, REQ_OP_READ, t->main->bdev,
			  run->start)) {
		m->any = true;
		return 0;
	}
	/* Nothing that matters is in the first page as long as nothing could be read. */
	if (!m->any && dmr_main_gone(t, t->mover.page[0]))
		return -EIO;
	return read_blocks(m, run, at);
}

/* What the mover's pages hold from @at sectors on, to as many runs of places as it takes. */
static int put_on_spare(struct dmr_batch *b, sector_t sector, sector_t at, sector_t count)
{
	struct dmr_target *t = b->target;
	sector_t place, run, done;
	int r = 0;

	for (; count && !r; sector += run, at += run, count -= run) {
		r = dmr_reserve(t);
		if (r)
			return r;
		run = min_t(sector_t, count, dmr_region_left(&t->spare->extents, sector));
		run = dmr_store_alloc(&t->spare->store, run, t->unit, &place);
		if (!run)
			return -ENOSPC;
		dmr_batch_data(b);
		if (!dmr_transfer(t, t->mover.page, at, run, REQ_OP_WRITE | REQ_SYNC,
				  t->spare->dev->bdev, place)) {
			r = dmr_batch_add(b, sector, place, run, false);
			continue;
		}
		dmr_store_seek(&t->spare->store, place);
		for (done = 0; done < run && !r; done += t->unit)
			r = dmr_put_block(b, sector + done, at + done, false);
	}
	return r;
}

/* Enter a run that was read to the pages from @at sectors on. */
static int enter(struct move *m, struct dmr_batch *b, const struct dmr_range *run, sector_t at)
{
	const sector_t end = at + min(run->end, m->upto) - run->start;
	sector_t sector = run->start, next;
	int r = 0;

	for (; at < end && !r; sector += next - at, at = next) {
		if (test_bit(at, m->bad)) {
			next = find_next_zero_bit(m->bad, end, at);
			/* If there is no memory for it, the next read finds them again. */
			dmr_update_set(&b->update, sector, DMR_PENDING, next - at);
		} else {
			next = find_next_bit(m->bad, end, at);
			r = put_on_spare(b, sector, at, next - at);
		}
	}
	return r;
}

static int move_held(struct move *m)
{
	const struct dmr_range *run, *end = m->held + m->runs;
	struct dmr_batch b;
	sector_t at;
	int r = 0, committed;

	for (run = m->held, at = 0; run < end && run->start < m->upto && !r; run++) {
		r = read_run(m, run, at);
		at += run->end - run->start;
	}
	if (r)
		return r;
	dmr_batch_begin(&b, m->target);
	for (run = m->held, at = 0; run < end && run->start < m->upto && !r; run++) {
		r = enter(m, &b, run, at);
		at += run->end - run->start;
	}
	committed = dmr_batch_end(&b);
	return committed ? committed : r;
}

static int hold_and_move(struct move *m)
{
	struct dmr_target *t = m->target;
	unsigned int reserves, i;
	int r = dmr_reserve(t);

	if (r)
		return r;
	/* Writes wait: there may be no memory but what they free. */
	reserves = memalloc_noreclaim_save();
	for (i = 0; i < m->runs; i++)
		dmr_hold(t, &t->mover.held[i]);
	dmr_drain_writers(t);
	r = move_held(m);
	dmr_release(t->mover.held, m->runs);
	memalloc_noreclaim_restore(reserves);
	return r;
}

/* What comes next of an errand, but for what is on the spare already. -EBUSY: not now. */
static int take_runs(struct move *m, const struct dmr_errand *e, bool rescue)
{
	const struct dmr_range *range = &e->range[e->next], *end = &e->range[e->ranges];
	struct dmr_target *t = m->target;

	m->upto = range->start;
	while (m->runs < DMR_MOVE_RUNS && m->sectors < DMR_MOVE_SECTORS) {
		struct dmr_range *run = &t->mover.held[m->runs];
		struct dmr_place place;

		if (m->upto == range->end) {
			if (++range == end)
				break;
			m->upto = range->start;
		}
		place = dmr_locate(&t->spare->extents, m->upto,
				   min(range->end - m->upto, DMR_MOVE_SECTORS - m->sectors));
		if (!place.on_spare) {
			if (rescue && !dmr_guard_read(t, place.run))
				return m->runs ? 0 : -EBUSY;
			run->start = m->upto;
			run->end = m->upto + place.run;
			m->sectors += place.run;
			m->runs++;
		}
		m->upto += place.run;
	}
	return 0;
}

/* True if something is left behind @upto. */
static bool advance(struct dmr_errand *e, sector_t upto)
{
	while (e->next < e->ranges && e->range[e->next].end <= upto)
		e->next++;
	if (e->next == e->ranges)
		return false;
	e->range[e->next].start = max(e->range[e->next].start, upto);
	return true;
}

static int step(struct dmr_target *t, struct dmr_errand *e, bool rescue)
{
	struct move m = { .target = t, .held = t->mover.held, .began = jiffies };
	int r = take_runs(&m, e, rescue);

	if (!r && m.runs)
		r = hold_and_move(&m);
	if (r)
		return r;
	if (!bitmap_empty(m.bad, DMR_MOVE_SECTORS))
		e->result = -EIO;
	return advance(e, m.upto) ? DMR_AGAIN : e->result;
}

int dmr_move(struct dmr_target *t, struct dmr_errand *e)
{
	return step(t, e, false);
}

int dmr_rescue(struct dmr_target *t, struct dmr_errand *e)
{
	return step(t, e, true);
}
