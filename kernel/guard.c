// SPDX-License-Identifier: GPL-2.0-only
/*
 * What isn't a bad sector: a main that is gone, or that takes no writes at all, must not eat the
 * spare.
 *
 * Only a write that ended well shows that main can be written: many disks end as ones that can
 * only be read. So after a number of failed blocks with no such write between them nothing is moved
 * until there is one. A main that can't even be read gets nothing moved at all.
 */
#include <linux/blkdev.h>
#include <linux/jiffies.h>

#include "target.h"

/* How long main is taken to be what it was found to be, while blocks fail one after the other. */
#define PROBE_INTERVAL (HZ / 10)

bool dmr_main_gone(struct dmr_target *t, struct page *page)
{
	const sector_t last = t->ti->len - t->unit;
	const sector_t probe[] = { 0, round_down(last / 2, t->unit), last };
	/* One that answers late, or not at all, need not be asked each time. */
	const unsigned int first = READ_ONCE(t->guard.answered);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(probe); i++) {
		const unsigned int at = (first + i) % ARRAY_SIZE(probe);

		if (dmr_transfer(t, &page, 0, t->unit, REQ_OP_READ, t->main->bdev, probe[at]))
			continue;
		WRITE_ONCE(t->guard.answered, at);
		return false;
	}
	return true;
}

static bool minute_is_over(const struct dmr_guard *g)
{
	return time_after_eq(jiffies, READ_ONCE(g->minute) + 60 * HZ);
}

static void report_minute(struct work_struct *work)
{
	dmr_report(container_of(to_delayed_work(work), struct dmr_target, guard.over));
}

static bool budget_is_spent(const struct dmr_target *t)
{
	const struct dmr_guard *g = &t->guard;

	return t->param[DMR_BUDGET] && READ_ONCE(g->spent) >= t->param[DMR_BUDGET] &&
	       !minute_is_over(g);
}

static void await_minute(struct dmr_target *t)
{
	struct dmr_guard *g = &t->guard;

	mod_delayed_work(t->mover.worker.wq, &g->over,
			 max(0L, (long)(g->minute + 60 * HZ - jiffies)));
}

static bool within_budget(struct dmr_target *t, unsigned int sectors, u64 budget)
{
	struct dmr_guard *g = &t->guard;

	if (minute_is_over(g)) {
		WRITE_ONCE(g->minute, jiffies);
		WRITE_ONCE(g->spent, 0);
	}
	if (t->param[DMR_BUDGET] && g->spent + sectors > budget)
		return false;
	WRITE_ONCE(g->spent, g->spent + sectors);
	if (budget_is_spent(t))
		await_minute(t);
	return true;
}

/* From now on until the minute is over dmr_guard_stops(). */
static void exceed_budget(struct dmr_target *t)
{
	struct dmr_guard *g = &t->guard;

	DMERR_LIMIT("%s: %pg: more than %llu sectors to be moved in a minute, moving none",
		    dmr_set_name(&t->spare->store), t->main->bdev, t->param[DMR_BUDGET]);
	WRITE_ONCE(g->spent, t->param[DMR_BUDGET]);
	await_minute(t);
}

static bool gone(struct dmr_target *t)
{
	struct dmr_guard *g = &t->guard;

	/* A write that has succeeded since tells as much. */
	if (time_before(jiffies, g->probed + PROBE_INTERVAL))
		return READ_ONCE(g->doubt) && g->gone;
	WRITE_ONCE(g->gone, bdev_read_only(t->main->bdev) || dmr_main_gone(t, t->mover.page[0]));
	g->probed = jiffies;
	return g->gone;
}

bool dmr_guard_write(struct dmr_target *t, unsigned int sectors)
{
	struct dmr_guard *g = &t->guard;
	const bool main_gone = gone(t);

	if (!READ_ONCE(g->doubt)) {
		WRITE_ONCE(g->row, 0);
		WRITE_ONCE(g->doubt, true);
	}
	if (main_gone) {
		DMERR_LIMIT("%s: %pg: gone or read-only, moving nothing",
			    dmr_set_name(&t->spare->store), t->main->bdev);
		return false;
	}
	if (t->param[DMR_GIVE_UP] && g->row >= t->param[DMR_GIVE_UP]) {
		DMERR_LIMIT("%s: %pg: %llu blocks failed and no write succeeded, moving nothing",
			    dmr_set_name(&t->spare->store), t->main->bdev, g->row);
		return false;
	}
	WRITE_ONCE(g->row, g->row + 1);
	if (within_budget(t, sectors, t->param[DMR_BUDGET]))
		return true;
	exceed_budget(t);
	return false;
}

bool dmr_guard_read(struct dmr_target *t, unsigned int sectors)
{
	return within_budget(t, sectors, t->param[DMR_BUDGET] / 2);
}

bool dmr_guard_stops(const struct dmr_target *t)
{
	const struct dmr_guard *g = &t->guard;

	if (READ_ONCE(g->no_place))
		return true;
	if (READ_ONCE(g->doubt) &&
	    (READ_ONCE(g->gone) ||
	     (t->param[DMR_GIVE_UP] && READ_ONCE(g->row) >= t->param[DMR_GIVE_UP])))
		return true;
	return budget_is_spent(t);
}

void dmr_guard_init(struct dmr_target *t)
{
	t->guard.minute = jiffies;
	t->guard.probed = jiffies - PROBE_INTERVAL;
	INIT_DELAYED_WORK(&t->guard.over, report_minute);
}

void dmr_guard_cancel(struct dmr_target *t)
{
	cancel_delayed_work_sync(&t->guard.over);
}

void dmr_guard_resume(struct dmr_target *t)
{
	if (budget_is_spent(t))
		await_minute(t);
}
