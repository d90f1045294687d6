// SPDX-License-Identifier: GPL-2.0-only
/*
 * A spare that is to take the place of the one in use: it is opened, formatted and handed to the
 * worker, or closed again if it never takes it.
 */
#include <linux/bitmap.h>
#include <linux/blkdev.h>
#include <linux/math64.h>
#include <linux/slab.h>
#include <linux/uuid.h>

#include "target.h"

/* What the layers above were told of the set can't be taken back. NULL: it need not be. */
static const char *exceed_limits(struct dmr_target *t, struct block_device *spare)
{
	struct block_device *self = dm_disk(dm_table_get_md(t->ti->table))->part0;

	if (bdev_stable_writes(spare) && !bdev_stable_writes(self))
		return "needs stable pages";
	if (bdev_dma_alignment(spare) > bdev_dma_alignment(self))
		return "needs memory aligned otherwise";
	return NULL;
}

static int check(struct dmr_target *t, struct block_device *spare)
{
	const char *reason = dmr_spare_refuse(t, spare);

	if (!reason && dmr_overlap(dmr_spare(t)->dev->bdev, spare))
		reason = "It overlaps the spare in use";
	if (!reason && bdev_read_only(spare))
		reason = "It is read-only";
	if (!reason)
		reason = exceed_limits(t, spare);
	if (!reason)
		return 0;
	DMERR("%pg: cannot become the spare: %s", spare, reason);
	return -EINVAL;
}

static int check_room(const struct dmr_store *new, const struct dmr_store *old)
{
	const u64 room = dmr_data_sectors(&new->layout), used = READ_ONCE(old->remapped);
	const u64 entries = mul_u32_u32(new->layout.table_capacity, DMR_BLOCK_ENTRIES);

	if (used <= room && READ_ONCE(old->extents) <= entries)
		return 0;
	DMERR("%pg: too small: has %llu sectors for %llu extents, and the set uses %llu for %llu",
	      new->bdev, room, entries, used, READ_ONCE(old->extents));
	return -ENOSPC;
}

/*
 * What dmremap, or an attempt that ended early, has left there stands: who the device is, and
 * generations that have been used. -EEXIST if it is a set; -EUCLEAN if some of it was written over.
 */
static int check_adoptable(const struct dmr_store *s)
{
	if (le32_to_cpu(s->super->state) != DMR_STATE_INCOMING)
		return -EEXIST;
	if (s->bad_copies || s->old_supers)
		return -EUCLEAN;
	return le64_to_cpu(s->super->header.generation) < DMR_LAST_GENERATION ? 0 : -EUCLEAN;
}

/* Make it an empty set of ours that nobody uses yet. */
static int format(struct dmr_target *t, struct dmr_store *s)
{
	const struct dmr_store *ours = &dmr_spare(t)->store;
	struct dmr_identity identity = { .sectors = cpu_to_le64(bdev_nr_sectors(s->bdev)) };
	u8 spare_uuid[DMR_UUID_SIZE];
	u64 generation = 1;
	int r = dmr_store_identify(s, ours->super->header.uuid);
	const bool blank = r == 1;

	if (r >= 0)
		r = blank ? dmr_store_check_blank(s) : check_adoptable(s);
	if (!r)
		r = check_room(s, ours);
	if (r)
		return r;
	generate_random_uuid(spare_uuid);
	if (!blank) {
		memcpy(spare_uuid, s->super->spare_uuid, DMR_UUID_SIZE);
		identity = s->super->spare;
		/* One more than the next: see dmr_store_load(). */
		generation = le64_to_cpu(s->super->header.generation) + 2;
	}
	/* Of what this takes from ours nothing changes meanwhile. */
	dmr_super_incoming(s->super, &s->layout, ours->super, spare_uuid,
			   bdev_logical_block_size(s->bdev), generation);
	s->super->spare = identity;
	dmr_seal(s->super);
	return dmr_store_format(s);
}

static void begin(struct dmr_target *t, struct dmr_spare *to)
{
	struct dmr_migration *m = &t->migration;

	m->cancelled = false;
	m->marked = false;
	m->waits = false;
	m->passes = 0;
	m->attempts = 0;
	dmr_migrate_rewind(m);
	bitmap_fill(m->dirty, to->extents.regions);
	spin_lock_irq(&t->scrub.lock);
	m->failed = 0;
	m->error = 0;
	m->dev = to->dev->bdev->bd_dev;
	smp_store_release(&m->to, to); /* pairs with dmr_migrating() */
	spin_unlock_irq(&t->scrub.lock);
	DMINFO("%s: moving from %pg to %pg", dmr_set_name(&to->store), dmr_spare(t)->dev->bdev,
	       to->dev->bdev);
	dm_table_event(t->ti->table);
	dmr_scrub_kick(t);
}

static int prepare(struct dmr_target *t, struct dmr_spare *to)
{
	int r = dmr_spare_init(t, to);

	if (!r)
		r = format(t, &to->store);
	if (r)
		DMERR("%pg: cannot become the spare (%d)", to->dev->bdev, r);
	return r;
}

int dmr_migrate_decided(const struct dmr_target *t)
{
	if (!t->migration.undecided)
		return 0;
	DMERR("%s: activate it anew: its spare may be another one by now",
	      dmr_set_name(&dmr_spare(t)->store));
	return -EUCLEAN;
}

int dmr_migrate(struct dmr_target *t, const char *path)
{
	struct dmr_spare *to;
	int r;

	if (dmr_read_only(t))
		return -EROFS;
	r = dmr_migrate_decided(t);
	if (r)
		return r;
	r = dmr_spare_open(t, path, &to);
	if (r) {
		DMERR("migrate %s: cannot open it (%d)", path, r);
		return r;
	}
	/* From here on the spare in use stays what it is. */
	r = dmr_claim_incoming(t, to->dev->bdev);
	if (r)
		goto close;
	r = check(t, to->dev->bdev);
	if (!r)
		r = prepare(t, to);
	if (!r) {
		begin(t, to);
		return 0;
	}
	dmr_unclaim_incoming(t);
close:
	dmr_spare_close(t, to);
	return r;
}

int dmr_migrate_cancel(struct dmr_target *t)
{
	int r = -ENODATA;

	spin_lock_irq(&t->scrub.lock);
	if (t->migration.to) {
		WRITE_ONCE(t->migration.cancelled, true);
		r = 0;
	}
	spin_unlock_irq(&t->scrub.lock);
	dmr_scrub_kick(t);
	return r;
}

/* The old spare is as it was before. */
static int unmark(struct dmr_target *t, struct dmr_errand *e)
{
	struct dmr_store *s = &t->spare->store;

	if (le32_to_cpu(s->super->state) == DMR_STATE_MIGRATING)
		dmr_store_set_state(s, DMR_STATE_CLEAN, NULL);
	dmr_flush_distrust(t);
	return 0;
}

void dmr_migrate_end(struct dmr_target *t)
{
	struct dmr_migration *m = &t->migration;

	spin_lock_irq(&t->scrub.lock);
	if (m->error)
		m->failed = m->dev;
	spin_unlock_irq(&t->scrub.lock);
	dmr_unclaim_incoming(t);
	dm_table_event(t->ti->table);
}

/* What is on the new spare stays: nobody uses it, and another attempt begins with it. */
int dmr_migrate_abandon(struct dmr_target *t)
{
	struct dmr_migration *m = &t->migration;
	struct dmr_spare *to = m->to;
	int r = dmr_mover_do(t, unmark);

	if (r)
		return r;
	DMWARN("%s: not moving to %pg (%d)", dmr_set_name(&to->store), to->dev->bdev, m->error);
	m->undecided |= m->error == -EUCLEAN;
	spin_lock_irq(&t->scrub.lock);
	smp_store_release(&m->to, NULL); /* pairs with dmr_migrating(), for .undecided */
	spin_unlock_irq(&t->scrub.lock);
	dmr_migrate_end(t);
	dmr_spare_close(t, to);
	return 0;
}

void dmr_migrate_progress(struct dmr_target *t, struct dmr_progress *p)
{
	const struct dmr_migration *m = &t->migration;

	memset(p, 0, sizeof(*p));
	spin_lock_irq(&t->scrub.lock);
	p->to = m->dev;
	p->all = READ_ONCE(dmr_spare(t)->store.remapped);
	p->done = m->to ? READ_ONCE(m->to->store.remapped) : p->all;
	p->failed = m->failed;
	p->error = READ_ONCE(m->error);
	spin_unlock_irq(&t->scrub.lock);
}

int dmr_migrate_init(struct dmr_target *t)
{
	t->migration.dirty = bitmap_zalloc(t->spare->extents.regions, GFP_KERNEL);
	return t->migration.dirty ? 0 : -ENOMEM;
}

void dmr_migrate_exit(struct dmr_target *t)
{
	dmr_close_replaced(t);
	if (t->migration.to)
		dmr_spare_close(t, t->migration.to);
	bitmap_free(t->migration.dirty);
}
