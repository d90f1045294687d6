// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ranges of main whose writes have to wait for the mover, and the writes in flight that the mover
 * has to wait for.
 */
#include <linux/rculist.h>
#include <linux/slab.h>

#include "target.h"

int dmr_ranges_add(struct list_head *ranges, sector_t start, sector_t sectors)
{
	struct dmr_range *r =
		list_empty(ranges) ? NULL : list_last_entry(ranges, struct dmr_range, list);

	if (r && r->end == start) {
		r->end += sectors;
		return 0;
	}
	r = kmalloc(sizeof(*r), GFP_NOIO | __GFP_NOWARN);
	if (!r)
		return -ENOMEM;
	r->start = start;
	r->end = start + sectors;
	list_add_tail(&r->list, ranges);
	return 0;
}

void dmr_ranges_free(struct list_head *ranges)
{
	struct dmr_range *r, *next;

	list_for_each_entry_safe(r, next, ranges, list)
		kfree(r);
	INIT_LIST_HEAD(ranges);
}

bool dmr_held(struct dmr_target *t, struct bio *bio)
{
	const sector_t start = bio->bi_iter.bi_sector, end = bio_end_sector(bio);
	const struct dmr_range *r;
	sector_t cut = end;

	list_for_each_entry_rcu(r, &t->holds, list) {
		if (r->start >= end || r->end <= start)
			continue;
		if (r->start <= start) {
			if (r->end < end)
				dm_accept_partial_bio(bio, r->end - start);
			return true;
		}
		cut = min(cut, r->start);
	}
	if (cut < end)
		dm_accept_partial_bio(bio, cut - start);
	return false;
}

bool dmr_overlaps_hold(struct dmr_target *t, sector_t start, sector_t end)
{
	const struct dmr_range *r;

	list_for_each_entry(r, &t->holds, list)
		if (r != &t->flush.everything && r->start < end && r->end > start)
			return true;
	return false;
}

static bool writers_left(struct dmr_target *t, u8 phase)
{
	unsigned long sum = 0;
	int cpu;

	/* A bio may be counted on one CPU and end on another: only the sum means something. */
	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*per_cpu_ptr(t->writers.count[phase], cpu));
	return sum;
}

void dmr_hold(struct dmr_target *t, struct dmr_range *range)
{
	list_add_rcu(&range->list, &t->holds);
}

void dmr_drain_writers(struct dmr_target *t)
{
	u8 old = t->writers.phase;

	/*
	 * Pairs with dmr_writer_begin(): the phase is read before the holds, so that nobody who
	 * missed a hold is counted in the new phase, which is not waited for.
	 */
	smp_store_release(&t->writers.phase, !old);
	/* Whoever missed the hold has counted itself in the old phase by now. */
	synchronize_rcu();
	WRITE_ONCE(t->writers.awaited, true);
	wait_event(t->writers.idle, !writers_left(t, old));
	WRITE_ONCE(t->writers.awaited, false);
}

void dmr_release(struct dmr_range *range, unsigned int count)
{
	/* Pairs with dmr_writer_begin(): the map first, for whoever no longer finds the hold. */
	smp_wmb();
	while (count--)
		list_del_rcu(&range[count].list);
	synchronize_rcu();
}

void dmr_refuse(struct dmr_target *t, struct list_head *ranges)
{
	struct dmr_range *r, *next;

	list_for_each_entry_safe(r, next, ranges, list) {
		list_del(&r->list);
		dmr_hold(t, r);
	}
}

void dmr_forget_refused(struct dmr_target *t)
{
	struct dmr_range *r, *next;

	smp_wmb(); /* as in dmr_release() */
	list_for_each_entry_safe(r, next, &t->holds, list) {
		if (r == &t->flush.everything)
			continue;
		list_del_rcu(&r->list);
		kfree_rcu(r, rcu);
	}
}

int dmr_holds_init(struct dmr_target *t)
{
	init_waitqueue_head(&t->writers.idle);
	t->writers.count[0] = alloc_percpu(unsigned long);
	t->writers.count[1] = alloc_percpu(unsigned long);
	return t->writers.count[0] && t->writers.count[1] ? 0 : -ENOMEM;
}

void dmr_holds_exit(struct dmr_target *t)
{
	dmr_forget_refused(t);
	free_percpu(t->writers.count[0]);
	free_percpu(t->writers.count[1]);
}
