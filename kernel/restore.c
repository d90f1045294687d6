// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table in memory and the one on the spare are brought together again.
 *
 * After a failed commit it is not known which of its entries are on the spare. Loading the table
 * again tells, as an activation would, and the sectors in question, which took no writes meanwhile,
 * go by what is found.
 */
#include <linux/slab.h>

#include "target.h"

int dmr_save(struct dmr_target *t, struct dmr_errand *e)
{
	int r = dmr_store_save(&t->spare->store);

	dmr_flush_distrust(t);
	return r;
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
		old = dmr_locate(&t->spare->extents, sector, t->ti->len - sector);
		new = dmr_locate(fresh, sector, old.run);
		if ((old.on_spare != new.on_spare || old.sector != new.sector ||
		     (old.on_spare && old.pending != new.pending)) &&
		    !in_question(t, sector, new.run))
			return false;
	}
	return true;
}

int dmr_keep_pending(struct dmr_target *t, struct dmr_extents *fresh)
{
	struct dmr_place old, new;
	struct dmr_update u;
	sector_t sector;
	int r = 0;

	dmr_update_begin(&u, fresh);
	for (sector = 0; sector < t->ti->len && !r; sector += new.run) {
		old = dmr_locate(&t->spare->extents, sector, t->ti->len - sector);
		new = dmr_locate(fresh, sector, old.run);
		if (old.pending && !new.on_spare)
			r = dmr_update_set(&u, sector, DMR_PENDING, new.run);
	}
	dmr_update_publish(&u);
	return r;
}

/* Read what is on the spare, write nothing, and see whether it is the table in use. */
static int compare(struct dmr_target *t, struct dmr_store *s, struct dmr_extents *x)
{
	int r = dmr_identify(t, s, t->spare->store.super->header.uuid);

	if (r)
		return r < 0 ? r : -ENODATA;
	r = dmr_store_load(s, x);
	if (!r && !agree(t, x)) {
		DMERR("%pg: holds another table than the one in use", t->spare->dev->bdev);
		r = -EUCLEAN;
	}
	dmr_extents_clear(x);
	return r;
}

static int compare_copy(struct dmr_target *t, struct dmr_extents *x)
{
	struct dmr_store *s = kzalloc(sizeof(*s), GFP_KERNEL);
	int r;

	if (!s)
		return -ENOMEM;
	r = dmr_store_init(s, t->spare->dev->bdev, &t->flush.all, t->spare->store.shares);
	if (!r) {
		s->read_only = true;
		r = compare(t, s, x);
	}
	dmr_store_exit(s);
	kfree(s);
	return r;
}

/* This is the table in use, but for what is in question: as at an activation. */
static int load(struct dmr_target *t, struct dmr_extents *x)
{
	struct dmr_store *s = &t->spare->store;
	const u64 extents = s->extents, remapped = s->remapped;
	const u64 committed = s->committed;
	u8 uuid[DMR_UUID_SIZE];
	int r;

	memcpy(uuid, s->super->header.uuid, sizeof(uuid));
	r = dmr_identify(t, s, uuid);
	/* It was just compared, but read by others: of a spare that fails now and then. */
	if (!r && le64_to_cpu(s->super->header.generation) < committed)
		r = -EUCLEAN;
	s->no_repair = READ_ONCE(t->no_repair);
	if (!r)
		r = dmr_store_load(s, x);
	if (r) {
		/* The map in use is right; what is known of the table on the spare is not. */
		WRITE_ONCE(s->extents, extents);
		WRITE_ONCE(s->remapped, remapped);
		WRITE_ONCE(s->failed, true);
		s->committed = committed;
		return r < 0 ? r : -ENODATA;
	}
	/* If there is no memory for it, the next read finds them again. */
	dmr_keep_pending(t, x);
	dmr_extents_replace(&t->spare->extents, x);
	dmr_forget_refused(t);
	return 0;
}

int dmr_restore(struct dmr_target *t, struct dmr_errand *e)
{
	struct dmr_extents fresh;
	int r;

	if (dmr_migrating(t)) {
		DMERR("%s: %pg is being replaced: restore after that",
		      dmr_set_name(&t->spare->store), t->spare->dev->bdev);
		return -EBUSY;
	}
	r = dmr_migrate_decided(t);
	if (!r)
		r = dmr_extents_init(&fresh, t->ti->len);
	if (r)
		return r;
	r = compare_copy(t, &fresh);
	if (!r)
		r = load(t, &fresh);
	if (r)
		DMERR("%s: %pg: cannot load the remap table again (%d)",
		      dmr_set_name(&t->spare->store), t->spare->dev->bdev, r);
	dmr_flush_distrust(t);
	dmr_extents_exit(&fresh);
	return r;
}
