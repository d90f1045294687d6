// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device is in one set at a time. device-mapper shares what it has claimed among all of its
 * devices, but two tables for one spare would give out the same places, and a main whose sectors
 * live on two spares would be read from the wrong one.
 */
#include <linux/blkdev.h>
#include <linux/mutex.h>

#include "target.h"

/* All tables that there are, also those that wait to be resumed. */
static LIST_HEAD(tables);
static DEFINE_MUTEX(lock);

bool dmr_overlap(struct block_device *a, struct block_device *b)
{
	return a->bd_disk == b->bd_disk &&
	       (a == b || !bdev_is_partition(a) || !bdev_is_partition(b));
}

static bool uses(const struct dmr_target *t, struct block_device *bdev)
{
	return dmr_overlap(t->main->bdev, bdev) || dmr_overlap(dmr_spare(t)->dev->bdev, bdev) ||
	       (t->incoming && dmr_overlap(t->incoming, bdev));
}

static bool share_device(const struct dmr_target *a, const struct dmr_target *b)
{
	return uses(a, b->main->bdev) || uses(a, dmr_spare(b)->dev->bdev) ||
	       (b->incoming && uses(a, b->incoming));
}

static bool same_device(const struct dmr_target *a, const struct dmr_target *b)
{
	return dm_table_get_md(a->ti->table) == dm_table_get_md(b->ti->table);
}

/* A table that is about to take the place of another for the same device is no conflict. */
static bool conflict(const struct dmr_target *a, const struct dmr_target *b)
{
	return b->live && !same_device(a, b) && share_device(a, b);
}

int dmr_table_add(struct dmr_target *t)
{
	const struct dmr_target *other;
	int r = 0;

	mutex_lock(&lock);
	list_for_each_entry(other, &tables, tables)
		if (same_device(other, t) && other->turning)
			r = -EBUSY;
	if (!r)
		list_add(&t->tables, &tables);
	mutex_unlock(&lock);
	return r;
}

void dmr_table_del(struct dmr_target *t)
{
	mutex_lock(&lock);
	list_del(&t->tables);
	mutex_unlock(&lock);
}

bool dmr_turn_begin(struct dmr_target *t)
{
	const struct dmr_target *other;
	bool alone = true;

	mutex_lock(&lock);
	list_for_each_entry(other, &tables, tables)
		alone &= other == t || !same_device(other, t);
	t->turning = alone;
	mutex_unlock(&lock);
	return alone;
}

void dmr_turn_end(struct dmr_target *t)
{
	mutex_lock(&lock);
	t->turning = false;
	mutex_unlock(&lock);
}

int dmr_claim(struct dmr_target *t)
{
	const struct dmr_target *other;
	int r = 0;

	mutex_lock(&lock);
	rcu_read_lock(); /* others may let go of a spare that they have replaced */
	list_for_each_entry(other, &tables, tables)
		if (conflict(t, other))
			r = -EBUSY;
	if (!r && !t->live) {
		list_for_each_entry(other, &tables, tables)
			if (other->live && share_device(t, other)) /* the table before this one */
				dmr_flush_inherit(t, other);
		t->live = true;
	}
	rcu_read_unlock();
	mutex_unlock(&lock);
	if (r)
		DMERR("%pg, %pg: in use by another set", t->main->bdev, t->spare->dev->bdev);
	return r;
}

void dmr_unclaim(struct dmr_target *t)
{
	mutex_lock(&lock);
	t->live = false;
	mutex_unlock(&lock);
}

int dmr_claim_incoming(struct dmr_target *t, struct block_device *bdev)
{
	const struct dmr_target *other;
	int r = 0;

	mutex_lock(&lock);
	rcu_read_lock();
	list_for_each_entry(other, &tables, tables)
		if (other->live && other != t && uses(other, bdev))
			r = -EBUSY;
	rcu_read_unlock();
	if (t->incoming)
		r = -EBUSY;
	if (!r)
		t->incoming = bdev;
	mutex_unlock(&lock);
	if (r)
		DMERR("%pg: in use by a set, or another spare is being filled", bdev);
	return r;
}

void dmr_unclaim_incoming(struct dmr_target *t)
{
	mutex_lock(&lock);
	t->incoming = NULL;
	WRITE_ONCE(t->migration.dev, 0); /* whoever sees that may begin another at once */
	mutex_unlock(&lock);
}
