// SPDX-License-Identifier: GPL-2.0-only
/*
 * What moves to the spare between two commits.
 */
#include <linux/blkdev.h>
#include <linux/jiffies.h>

#include "target.h"

/*
 * Fresh places tried for one block before the spare itself is taken to be broken. After each
 * failure twice as many sectors are left out: a scratch of a megabyte is crossed, and still a spare
 * that is gone is found out at once.
 */
#define PLACE_ATTEMPTS 12

void dmr_batch_begin(struct dmr_batch *b, struct dmr_target *t)
{
	/* A new spare on the disk of the old one may have been given up before it was filled. */
	dmr_flush_distrust(t);
	b->target = t;
	b->moved = false;
	b->began = jiffies;
	INIT_LIST_HEAD(&b->ranges);
	dmr_update_begin(&b->update, &t->spare->extents);
}

int dmr_reserve(struct dmr_target *t)
{
	int r = dmr_store_reserve(&t->spare->store);

	/* It flushes where the table grows, and somebody may flush before the batch ends. */
	dmr_flush_distrust(t);
	return r;
}

static int commit(struct dmr_batch *b)
{
	struct dmr_store *s = &b->target->spare->store;
	int r = dmr_store_settle(s, b->lost);

	if (!r)
		return dmr_store_commit(s);
	s->failed = true; /* entries are in memory that must not go out */
	return r;
}

static void tell_what_moved(const struct dmr_batch *b)
{
	struct dmr_target *t = b->target;
	const struct dmr_store *s = &t->spare->store;
	const struct dmr_range *r;
	sector_t sector;

	list_for_each_entry(r, &b->ranges, list) {
		for (sector = r->start; sector < r->end;
		     sector += dmr_region_left(&t->spare->extents, sector))
			dmr_note_change(t, sector);
		DMINFO_LIMIT("%s: sectors %llu+%llu of %pg moved to %pg", dmr_set_name(s),
			     (unsigned long long)r->start, (unsigned long long)(r->end - r->start),
			     t->main->bdev, s->bdev);
	}
}

int dmr_batch_end(struct dmr_batch *b)
{
	struct dmr_target *t = b->target;
	int r = b->moved ? commit(b) : 0;

	dmr_flush_distrust(t);
	if (r) {
		/*
		 * Entries may have become stable after all. At the next activation they would
		 * hide what was written to main after this, so nothing is.
		 */
		DMERR("%s: %pg: remap table can no longer be written, moving nothing",
		      dmr_set_name(&t->spare->store), t->spare->dev->bdev);
		dmr_refuse(t, &b->ranges);
		dmr_update_drop(&b->update);
		return r;
	}
	dmr_update_publish(&b->update);
	if (b->moved)
		tell_what_moved(b);
	dmr_ranges_free(&b->ranges);
	return 0;
}

/* Give a block that is on the spare another place there. */
static int replace(struct dmr_batch *b, sector_t main, sector_t spare, sector_t sectors)
{
	struct dmr_store *s = &b->target->spare->store;
	struct dmr_place old;
	int r;

	dmr_update_lookup(&b->update, main, sectors, &old);
	r = dmr_store_replace(s, main, spare, sectors, 0);
	if (r)
		return r;
	r = dmr_update_set(&b->update, main, spare, sectors);
	if (r) {
		/* It is an entry of its own now: the block has changed, and has to be written. */
		dmr_store_replace(s, main, old.sector, sectors,
				  old.pending ? DMR_ENTRY_NO_DATA : 0);
		b->moved = true;
	}
	return r;
}

int dmr_batch_add(struct dmr_batch *b, sector_t main, sector_t spare, sector_t sectors, bool again)
{
	struct dmr_store *s = &b->target->spare->store;
	int r = dmr_ranges_add(&b->ranges, main, sectors);

	if (r)
		return r;
	r = again ? replace(b, main, spare, sectors)
		  : dmr_update_set(&b->update, main, spare, sectors);
	if (r)
		return r;
	if (!again)
		dmr_store_add(s, main, spare, sectors, 0);
	b->moved = true;
	dmr_guard_place(b->target);
	return 0;
}

int dmr_put_somewhere(struct dmr_target *t, struct dmr_store *s, struct page *const *page,
		      sector_t offset, sector_t *place)
{
	const sector_t cursor = s->cursor;
	unsigned int attempt;

	for (attempt = 0; attempt < PLACE_ATTEMPTS; attempt++) {
		if (!dmr_store_alloc(s, t->unit, t->unit, place))
			break;
		if (!dmr_transfer(t, page, offset, t->unit, REQ_OP_WRITE | REQ_SYNC, s->bdev,
				  *place))
			return 0;
		dmr_store_seek(s, *place + ((sector_t)t->unit << attempt));
	}
	/* Nothing was put there, and it may work again tomorrow. */
	dmr_store_seek(s, cursor);
	if (!attempt)
		return -ENOSPC;
	DMERR_LIMIT("%s: %pg: no writable place found", dmr_set_name(s), s->bdev);
	return -EIO;
}

int dmr_put_block(struct dmr_batch *b, sector_t main, sector_t offset, bool again)
{
	struct dmr_target *t = b->target;
	struct dmr_store *s = &t->spare->store;
	sector_t place;
	int r = again ? dmr_store_begin(s) : dmr_reserve(t);

	if (r)
		return r;
	dmr_batch_data(b);
	r = dmr_put_somewhere(t, s, t->mover.page, offset, &place);
	if (r == -EIO)
		WRITE_ONCE(t->guard.no_place, true);
	if (r)
		return r;
	r = dmr_batch_add(b, main, place, t->unit, again);
	if (r)
		dmr_store_seek(s, place);
	return r;
}
