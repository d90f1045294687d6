// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device is in one set at a time. device-mapper shares what it has claimed among all of its
 * devices, but two tables for one spare would give out the same places, and a main whose sectors
 * live on two spares would be read from the wrong one.
 */
#include <linux/blkdev.h>
#include <linux/mutex.h>

#include "target.h"

static LIST_HEAD(live);
static DEFINE_MUTEX(live_lock);

bool dmr_overlap(struct block_device *a, struct block_device *b)
{
	return a->bd_disk == b->bd_disk &&
	       (a == b || !bdev_is_partition(a) || !bdev_is_partition(b));
}

static bool share_device(const struct dmr_target *a, const struct dmr_target *b)
{
	return dmr_overlap(a->main->bdev, b->main->bdev) ||
	       dmr_overlap(a->main->bdev, b->spare->bdev) ||
	       dmr_overlap(a->spare->bdev, b->main->bdev) ||
	       dmr_overlap(a->spare->bdev, b->spare->bdev);
}

/* A table that is about to take the place of another for the same device is no conflict. */
static bool conflict(const struct dmr_target *a, const struct dmr_target *b)
{
	return dm_table_get_md(a->ti->table) != dm_table_get_md(b->ti->table) && share_device(a, b);
}

int dmr_claim(struct dmr_target *t)
{
	struct dmr_target *other;
	int r = 0;

	mutex_lock(&live_lock);
	list_for_each_entry(other, &live, live)
		if (conflict(t, other))
			r = -EBUSY;
	if (!r && list_empty(&t->live)) {
		list_for_each_entry(other, &live, live)
			if (share_device(t, other)) /* the table before this one */
				dmr_flush_inherit(t, other);
		list_add(&t->live, &live);
	}
	mutex_unlock(&live_lock);
	if (r)
		DMERR("%pg, %pg: in use by another set", t->main->bdev, t->spare->bdev);
	return r;
}

void dmr_unclaim(struct dmr_target *t)
{
	mutex_lock(&live_lock);
	list_del_init(&t->live);
	mutex_unlock(&live_lock);
}
