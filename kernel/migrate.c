// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is on the old spare is copied to the new one, region by region of the map, while the set is
 * in use. A region that somebody writes to meanwhile is copied again: its bit is set when a write
 * has ended, or the map has changed, and cleared before it is read.
 *
 * Nobody reads the new spare yet, so it is filled without regard to order. What can't be read is
 * entered as such: whoever reads it from there gets an error, and no made-up data.
 */
#include <linux/blkdev.h>
#include <linux/jiffies.h>

#include "target.h"

/* What may be left to be copied while writes wait: some tenths of a second. */
#define FEW_SECTORS 32768
/* Passes after which that is tried anyway: they don't get shorter any more. */
#define MAX_PASSES 4

#define STEP_TIME (HZ / 20)

static int enter(struct dmr_spare *to, sector_t sector, sector_t place, sector_t sectors, u32 flags,
		 bool again)
{
	struct dmr_update u;
	int r;

	dmr_update_begin(&u, &to->extents);
	r = dmr_update_set(&u, sector, flags ? place | DMR_NO_DATA : place, sectors);
	if (!r && again)
		r = dmr_store_replace(&to->store, sector, place, sectors, flags);
	else if (!r)
		dmr_store_add(&to->store, sector, place, sectors, flags);
	if (r)
		dmr_update_drop(&u);
	else
		dmr_update_publish(&u);
	return r;
}

/* Room for one more entry, if the block is not on the new spare yet. */
static int reserve(struct dmr_spare *to, const struct dmr_place *place)
{
	return place->on_spare ? 0 : dmr_store_reserve(&to->store);
}

/* A block whose data is @at sectors into the pages. */
static int put_block(struct dmr_target *t, struct page *const *page, sector_t at, sector_t sector)
{
	struct dmr_spare *to = t->migration.to;
	struct dmr_place place = dmr_locate(&to->extents, sector, t->unit);
	int r = reserve(to, &place);

	if (!r)
		r = dmr_put_somewhere(t, &to->store, page, at, &place.sector);
	return r ? r : enter(to, sector, place.sector, t->unit, 0, place.on_spare);
}

/* A block whose data is lost. */
static int put_nothing(struct dmr_target *t, sector_t sector)
{
	struct dmr_spare *to = t->migration.to;
	struct dmr_place place = dmr_locate(&to->extents, sector, t->unit);
	int r = reserve(to, &place);

	if (r || (place.on_spare && place.pending))
		return r;
	if (!place.on_spare && !dmr_store_alloc(&to->store, t->unit, t->unit, &place.sector))
		return -ENOSPC;
	return enter(to, sector, place.sector, t->unit, DMR_ENTRY_NO_DATA, place.on_spare);
}

/*
 * As much of a run as has one place, or will have. Returns how many sectors that was; 0: it has to
 * be put block by block.
 */
static sector_t put_part(struct dmr_target *t, struct page *const *page, sector_t at,
			 sector_t sector, sector_t sectors)
{
	struct dmr_spare *to = t->migration.to;
	struct dmr_place place = dmr_locate(&to->extents, sector, sectors);
	const bool fresh = !place.on_spare;

	if (place.pending || reserve(to, &place))
		return 0;
	if (fresh)
		place.run = dmr_store_alloc(&to->store, place.run, t->unit, &place.sector);
	if (!place.run)
		return 0;
	if (!dmr_transfer(t, page, at, place.run, REQ_OP_WRITE, to->dev->bdev, place.sector) &&
	    (!fresh || !enter(to, sector, place.sector, place.run, 0, false)))
		return place.run;
	if (fresh)
		dmr_store_seek(&to->store, place.sector);
	return 0;
}

/* What was read to the pages goes to the new spare. */
static int put(struct dmr_target *t, struct page *const *page, sector_t sector, sector_t sectors)
{
	sector_t done, part;
	int r = 0;

	for (done = 0; done < sectors && !r; done += part) {
		part = put_part(t, page, done, sector + done, sectors - done);
		if (part)
			continue;
		part = t->unit;
		r = put_block(t, page, done, sector + done);
	}
	return r;
}

/* True if not even a superblock of the old spare can be read, to @page. */
static bool is_gone(struct dmr_target *t, struct page *const *page)
{
	const struct dmr_store *s = &t->spare->store;
	unsigned int i;

	for (i = 0; i < DMR_COPIES; i++)
		if (!dmr_transfer(t, page, 0, DMR_BLOCK_SECTORS, REQ_OP_READ, s->bdev,
				  s->layout.copy_sector[i]))
			return false;
	return true;
}

/*
 * A block that was read in vain, for @status: once more, as this is for good. What is lost in the
 * first pass is tried again by the next one; the link to a disk may be gone for a moment.
 */
static int lose_block(struct dmr_target *t, struct page *const *page, const struct dmr_place *from,
		      blk_status_t status)
{
	struct dmr_migration *m = &t->migration;
	const struct dmr_store *s = &t->spare->store;

	if (!dmr_is_unreadable(status))
		return blk_status_to_errno(status);
	if (!dmr_transfer(t, page, 0, t->unit, REQ_OP_READ, s->bdev, from->sector))
		return put(t, page, m->sector, t->unit);
	if (is_gone(t, page))
		return -EIO;
	if (!m->passes) {
		m->lost = true;
		set_bit(m->sector >> t->spare->extents.shift, m->dirty);
	} else {
		DMWARN_LIMIT("%s: sectors %llu+%u of %pg are on %pg, cannot be read, and stay lost",
			     dmr_set_name(s), (unsigned long long)m->sector, t->unit, t->main->bdev,
			     s->bdev);
	}
	return put_nothing(t, m->sector);
}

static int copy(struct dmr_target *t, struct page *const *page, struct dmr_place *from)
{
	struct dmr_migration *m = &t->migration;
	blk_status_t status;

	from->run = min_t(sector_t, from->run,
			  from->pending || m->sector < m->singly ? t->unit : DMR_MOVE_SECTORS);
	if (from->pending)
		return put_nothing(t, m->sector);
	status =
		dmr_transfer(t, page, 0, from->run, REQ_OP_READ, t->spare->dev->bdev, from->sector);
	if (!status)
		return put(t, page, m->sector, from->run);
	if (from->run == t->unit)
		return lose_block(t, page, from, status);
	m->singly = m->sector + from->run;
	from->run = 0;
	return 0;
}

int dmr_migrate_extent(struct dmr_target *t, struct page *const *page)
{
	struct dmr_migration *m = &t->migration;
	struct dmr_place from = dmr_locate(&t->spare->extents, m->sector, m->end - m->sector);
	int r = 0;

	if (from.on_spare) {
		r = copy(t, page, &from);
		if (r)
			return r;
		m->copied += from.run;
	}
	m->sector += from.run;
	return 0;
}

void dmr_migrate_rewind(struct dmr_migration *m)
{
	m->sector = 0;
	m->end = 0;
	m->singly = 0;
	m->copied = 0;
	m->lost = false;
}

bool dmr_migrate_region(struct dmr_target *t)
{
	const struct dmr_extents *x = &t->spare->extents;
	struct dmr_migration *m = &t->migration;
	/* The last region ends where main does. */
	unsigned long next = (m->end + (1ULL << x->shift) - 1) >> x->shift;
	unsigned long region = find_next_bit(m->dirty, x->regions, next);

	if (region >= x->regions)
		return false;
	clear_bit(region, m->dirty);
	/* What is written from now on sets it again; see dmr_note_change(). */
	smp_mb__after_atomic();
	m->sector = (sector_t)region << x->shift;
	m->end = min(m->sector + dmr_region_left(x, m->sector), t->ti->len);
	return true;
}

static int end_pass(struct dmr_target *t)
{
	struct dmr_migration *m = &t->migration;
	/* Most of the table is stable before writes have to wait for the rest. */
	int r = dmr_store_commit(&m->to->store);

	if (!r && !m->lost && (m->copied <= FEW_SECTORS || m->passes >= MAX_PASSES))
		r = dmr_mover_do(t, dmr_take_over);
	m->passes++;
	dmr_migrate_rewind(m);
	if (!r && !m->to)
		dmr_migrate_end(t);
	return r;
}

/* For a moment; @ended: up to the end of the last region. */
static int copy_some(struct dmr_target *t, bool *ended)
{
	const unsigned long began = jiffies;
	struct dmr_migration *m = &t->migration;
	const u64 enough = m->copied + DMR_MOVE_SECTORS;
	int r = 0;

	while (!r && m->copied < enough && !READ_ONCE(t->scrub.stopped) &&
	       time_before(jiffies, began + STEP_TIME)) {
		*ended = m->sector == m->end && !dmr_migrate_region(t);
		if (*ended)
			break;
		r = dmr_migrate_extent(t, t->scrub.page);
		cond_resched();
	}
	return r;
}

/* Somebody who finds the old spare tomorrow can tell what was going on. */
static int mark_old(struct dmr_target *t, struct dmr_errand *e)
{
	struct dmr_store *s = &t->spare->store;

	if (dmr_store_writable(s))
		dmr_store_set_state(s, DMR_STATE_MIGRATING, NULL);
	dmr_flush_distrust(t);
	t->migration.lost_flushes = dmr_store_lost(&t->migration.to->store);
	return 0;
}

int dmr_migrate_step(struct dmr_target *t)
{
	struct dmr_migration *m = &t->migration;
	bool ended = false;
	int r;

	if (!m->error && READ_ONCE(m->cancelled))
		WRITE_ONCE(m->error, -ECANCELED);
	if (m->error)
		return dmr_migrate_abandon(t);
	if (!m->marked) {
		r = dmr_mover_do(t, mark_old);
		m->marked = !r;
		return r;
	}
	r = copy_some(t, &ended);
	if (ended)
		r = end_pass(t);
	/* What may be otherwise in a moment is tried again then. */
	if (!r || r == -EAGAIN || r == -EBUSY || r == -ENOMEM)
		return r;
	WRITE_ONCE(m->error, r);
	return dmr_migrate_abandon(t);
}
