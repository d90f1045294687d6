// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table in memory and the one on the spare are brought together again.
 *
 * After a failed commit it is not known which of its entries are on the spare. Loading the table
 * again tells, as an activation would, and the sectors in question, which took no writes meanwhile,
 * go by what is found.
 */
#include "target.h"

int dmr_save(struct dmr_target *t, struct dmr_errand *e)
{
	return dmr_store_save(&t->store);
}

static void locate(const struct dmr_extents *x, sector_t sector, sector_t count,
		   struct dmr_place *place)
{
	rcu_read_lock();
	dmr_lookup(x, sector, count, place);
	rcu_read_unlock();
}

/* True if a failed commit may have moved all of the range. */
static bool in_question(struct dmr_target *t, sector_t sector, sector_t count)
{
	const sector_t end = sector + count;

	for (; sector < end; sector += t->unit)
		if (!dmr_overlaps_hold(t, sector, sector + t->unit))
			return false;
	return true;
}

/* True if the map in use and @fresh differ in nothing but what is in question. */
static bool agree(struct dmr_target *t, const struct dmr_extents *fresh)
{
	struct dmr_place old, new;
	sector_t sector;

	for (sector = 0; sector < t->ti->len; sector += new.run) {
		locate(&t->extents, sector, t->ti->len - sector, &old);
		locate(fresh, sector, old.run, &new);
		if ((old.on_spare != new.on_spare || old.sector != new.sector) &&
		    !in_question(t, sector, new.run))
			return false;
	}
	return true;
}

/* What cannot be read is known to this map only. */
static void keep_pending(struct dmr_target *t, struct dmr_extents *fresh)
{
	struct dmr_place old, new;
	struct dmr_update u;
	sector_t sector;
	int r = 0;

	dmr_update_begin(&u, fresh);
	for (sector = 0; sector < t->ti->len && !r; sector += new.run) {
		locate(&t->extents, sector, t->ti->len - sector, &old);
		locate(fresh, sector, old.run, &new);
		if (old.pending && !new.on_spare)
			r = dmr_update_set(&u, sector, DMR_PENDING, new.run);
	}
	dmr_update_publish(&u);
}

static int load(struct dmr_target *t, const u8 *uuid, struct dmr_extents *x, bool read_only)
{
	int r;

	t->store.read_only = read_only;
	r = dmr_store_identify(&t->store, uuid);
	if (r)
		return r < 0 ? r : -ENODATA;
	return dmr_store_load(&t->store, x);
}

/* The copies are brought level only when it is certain that they are those of this table. */
static int load_and_compare(struct dmr_target *t, struct dmr_extents *fresh)
{
	const bool read_only = t->store.read_only;
	u8 uuid[DMR_UUID_SIZE];
	int r;

	memcpy(uuid, t->store.super->header.uuid, sizeof(uuid));
	r = load(t, uuid, fresh, true);
	if (!r && !agree(t, fresh)) {
		DMERR("%pg: holds another table than the one in use", t->spare->bdev);
		r = -EUCLEAN;
	}
	if (!r && !read_only) {
		dmr_extents_clear(fresh);
		r = load(t, uuid, fresh, false);
	}
	t->store.read_only = read_only;
	return r;
}

int dmr_restore(struct dmr_target *t, struct dmr_errand *e)
{
	struct dmr_extents fresh;
	int r = dmr_extents_init(&fresh, t->ti->len);

	if (r)
		return r;
	r = load_and_compare(t, &fresh);
	if (r) {
		/* The map in use is right; what is known of the table on the spare is not. */
		WRITE_ONCE(t->store.failed, true);
		DMERR("%pg: cannot load the remap table again (%d), moving nothing", t->spare->bdev,
		      r);
	} else {
		keep_pending(t, &fresh);
		dmr_extents_replace(&t->extents, &fresh);
		dmr_forget_refused(t);
	}
	dmr_extents_exit(&fresh);
	return r;
}
