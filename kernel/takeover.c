// SPDX-License-Identifier: GPL-2.0-only
/*
 * From one spare to the other, at one instant.
 *
 *   all writes wait, those in flight end
 *   what is left is copied, the new spare is flushed, its table committed
 *   old superblocks: superseded        from here on the new spare is the truth,
 *   new superblocks: clean             and says so itself
 *   the map leads to the new spare, and writes go on
 *
 * After a crash between the last two dmremap, which sees both spares, does the second. Nothing was
 * acknowledged between them. Where the old spare can't be written, which may be why the set moves,
 * the new one comes first: it then says that it has taken over, in a later generation.
 */
#include <linux/jiffies.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "target.h"

/* How long writes wait at most; longer with each attempt, so that one succeeds. */
#define PATIENCE (HZ / 2)
#define LONGEST  6 /* doublings of that */

static int copy_rest(struct dmr_target *t)
{
	struct dmr_migration *m = &t->migration;
	const unsigned long until = jiffies + (PATIENCE << min_t(int, m->attempts, LONGEST));
	int r = 0;

	dmr_migrate_rewind(m);
	while (!r && (m->sector < m->end || dmr_migrate_region(t))) {
		if (READ_ONCE(t->mover.stopped) || READ_ONCE(m->cancelled) ||
		    time_after(jiffies, until))
			r = -EAGAIN;
		else
			r = dmr_migrate_extent(t, t->mover.page);
		/* To be tried again, which takes too long while writes wait. */
		if (!r && m->lost)
			r = -EAGAIN;
	}
	/* The region at hand is not copied, and begun anew the next time. */
	if (m->sector < m->end)
		set_bit(m->sector >> t->spare->extents.shift, m->dirty);
	return r;
}

static int complete_new(struct dmr_target *t)
{
	struct dmr_spare *to = t->migration.to;
	int r = copy_rest(t);

	if (!r)
		r = dmr_keep_pending(t, &to->extents);
	/* A flush of somebody else's may have failed that was for what has been copied. */
	if (!r)
		r = dmr_store_settle(&to->store, t->migration.lost_flushes);
	return r ? r : dmr_store_commit(&to->store);
}

/* What a superblock remembers over the years. */
static void inherit(struct dmr_super *new, const struct dmr_super *old)
{
	new->repairs = old->repairs;
	new->scrubs = old->scrubs;
	new->last_repair = old->last_repair;
}

/*
 * The new spare could not be made the truth, or not for sure: then the old one has to have a later
 * generation than whatever is there. If it can't get one, nobody knows which of the two the next
 * activation will find. @peer is what the old one said before.
 */
static int go_back(struct dmr_store *old, const u8 *peer, struct dmr_store *new, int error)
{
	old->generation = max(old->generation, new->generation);
	if (!dmr_store_set_state(old, DMR_STATE_CLEAN, peer)) {
		if (dmr_store_retire(new, DMR_STATE_INCOMING, old->super->spare_uuid))
			DMWARN("%s: %pg may say that it is the spare, and is not: zero it",
			       dmr_set_name(old), new->bdev);
		return error;
	}
	DMERR("%s: neither %pg nor %pg can be written: no write is safe any more",
	      dmr_set_name(old), old->bdev, new->bdev);
	WRITE_ONCE(old->failed, true);
	return -EUCLEAN;
}

static int change_truth(struct dmr_target *t)
{
	struct dmr_store *old = &t->spare->store, *new = &t->migration.to->store;
	const bool writable = dmr_store_writable(old);
	u8 peer[DMR_UUID_SIZE];
	int told = -EIO, r;

	memcpy(peer, old->super->peer_uuid, DMR_UUID_SIZE);
	if (writable)
		told = dmr_store_set_state(old, DMR_STATE_SUPERSEDED, new->super->spare_uuid);
	inherit(new->super, old->super);
	new->generation = max(new->generation, old->generation);
	r = dmr_store_set_state(new, DMR_STATE_CLEAN, old->super->spare_uuid);
	if (r)
		return go_back(old, peer, new, r);
	if (told)
		told = dmr_store_retire(old, DMR_STATE_SUPERSEDED, new->super->spare_uuid);
	if (told)
		DMWARN("%s: %pg could not be marked as superseded: do not leave it in this machine",
		       dmr_set_name(new), old->bdev);
	return 0;
}

static void use_new(struct dmr_target *t)
{
	struct dmr_spare *old = t->spare, *new = t->migration.to;

	DMINFO("%s: moved from %pg to %pg", dmr_set_name(&new->store), old->dev->bdev,
	       new->dev->bdev);
	spin_lock_irq(&t->scrub.lock);
	WRITE_ONCE(t->migration.to, NULL);
	spin_unlock_irq(&t->scrub.lock);
	/* Pairs with dmr_spare(): whoever finds it finds it as it is now. */
	smp_store_release(&t->spare, new);
	WRITE_ONCE(new->store.shares, dmr_flush_shares(t, new));
	/* What was lost on the old one had been copied before. */
	atomic_andnot(DMR_SPARE, &t->flush.all.untold);
	/* It may be read still, by what was sent before. */
	old->replaced = t->replaced;
	t->replaced = old;
	dmr_params_adapt(t);
	dmr_backoff_forget(t);
	WRITE_ONCE(t->guard.no_place, false);
	WRITE_ONCE(t->scrub.left_unreadable, 0);
}

static int take_over(struct dmr_target *t)
{
	/* Writes wait: there may be no memory but what they free. */
	const unsigned int reserves = memalloc_noreclaim_save();
	int r = complete_new(t);

	memalloc_noreclaim_restore(reserves);
	if (r)
		return r;
	r = change_truth(t);
	if (!r)
		use_new(t);
	return r;
}

static int hold_and_take_over(struct dmr_target *t)
{
	struct dmr_range *all = kmalloc(sizeof(*all), GFP_NOIO);
	int r;

	if (!all)
		return -ENOMEM;
	all->start = 0;
	all->end = t->ti->len;
	dmr_flush_distrust(t); /* what was lost before it could be copied */
	dmr_hold(t, all);
	dmr_drain_writers(t);
	r = take_over(t);
	dmr_flush_distrust(t);
	if (r == -EUCLEAN)
		return r; /* and hold them for good */
	dmr_release(all, 1);
	kfree(all);
	/* What a failed commit left open is settled: the new table does not have it. */
	if (!r)
		dmr_forget_refused(t);
	return r;
}

int dmr_take_over(struct dmr_target *t, struct dmr_errand *e)
{
	struct dmr_migration *m = &t->migration;
	int r;

	/* A table that has been loaded for the old spare could not be resumed any more. */
	if (!dmr_turn_begin(t)) {
		if (!m->waits)
			DMWARN("%s: turns to %pg when the table loaded for it is resumed or gone",
			       dmr_set_name(&m->to->store), m->to->dev->bdev);
		m->waits = true;
		return -EBUSY;
	}
	r = hold_and_take_over(t);
	m->attempts++;
	dmr_turn_end(t);
	return r;
}

void dmr_close_replaced(struct dmr_target *t)
{
	/* A status or a message that is being answered may have found it. */
	if (t->replaced)
		synchronize_rcu();
	while (t->replaced) {
		struct dmr_spare *s = t->replaced;

		t->replaced = s->replaced;
		dmr_spare_close(t, s);
	}
}
