// SPDX-License-Identifier: GPL-2.0-only
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "extents.h"

/*
 * Regions are at least 1 MiB, and mostly at most 64 Ki of them: 512 KiB of pointers. A region is
 * never larger than its offsets, which have 32 bits.
 */
#define MIN_SHIFT   11
#define MAX_SHIFT   31
#define MAX_REGIONS 65536

/* Extents by which the array of a region grows: a few, and in proportion, for a load adds many. */
#define GROWTH(count) (4 + (count) / 4)

/* Extents that a change of a region adds at most: an extent that is cut in two, and the new one. */
#define CHANGE 2

int dmr_extents_init(struct dmr_extents *x, sector_t length)
{
	x->shift = MIN_SHIFT;
	while (((length - 1) >> x->shift) >= MAX_REGIONS && x->shift < MAX_SHIFT)
		x->shift++;
	x->regions = ((length - 1) >> x->shift) + 1;
	x->region = kvcalloc(x->regions, sizeof(*x->region), GFP_KERNEL);
	return x->region ? 0 : -ENOMEM;
}

void dmr_extents_clear(struct dmr_extents *x)
{
	unsigned long i;

	for (i = 0; i < x->regions; i++) {
		kvfree(rcu_dereference_protected(x->region[i], true));
		RCU_INIT_POINTER(x->region[i], NULL);
	}
	x->pending = 0;
}

void dmr_extents_exit(struct dmr_extents *x)
{
	if (!x->region)
		return;
	dmr_extents_clear(x);
	kvfree(x->region);
	x->region = NULL;
}

/* Number of the first extent of @r that ends behind @offset; r->count if there is none. */
static unsigned int first_behind(const struct dmr_region *r, u32 offset)
{
	unsigned int low = 0, high = r->count;

	while (low < high) {
		unsigned int mid = low + (high - low) / 2;

		if ((u64)r->extent[mid].offset + r->extent[mid].sectors <= offset)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* A lookup that may be confined to what an update holds. */
typedef const struct dmr_region *(*region_fn)(const void *source, unsigned long index);

static const struct dmr_region *published_region(const void *source, unsigned long index)
{
	const struct dmr_extents *x = source;

	return rcu_dereference(x->region[index]);
}

static void lookup(const struct dmr_extents *x, region_fn region, const void *source,
		   sector_t sector, sector_t count, struct dmr_place *place)
{
	const sector_t end = sector + count;
	unsigned long index = sector >> x->shift;
	u32 offset = sector & ((1ULL << x->shift) - 1);

	place->sector = sector;
	place->run = count;
	place->on_spare = false;
	place->pending = false;

	/* Untouched sectors go on until the next extent, over as many regions as it takes. */
	for (; (sector_t)index << x->shift < end; index++, offset = 0) {
		const struct dmr_region *r = region(source, index);
		const struct dmr_extent *e;
		sector_t start;
		unsigned int n;

		if (!r)
			continue;
		n = first_behind(r, offset);
		if (n == r->count)
			continue;
		e = &r->extent[n];
		start = ((sector_t)index << x->shift) + e->offset;
		if (start > sector) {
			place->run = min(count, start - sector);
			return;
		}
		place->run = min(count, start + e->sectors - sector);
		place->pending = e->spare & DMR_NO_DATA;
		place->on_spare = e->spare != DMR_PENDING;
		if (place->on_spare)
			place->sector = (e->spare & ~DMR_NO_DATA) + (sector - start);
		return;
	}
}

void dmr_lookup_slow(const struct dmr_extents *x, sector_t sector, sector_t count,
		     struct dmr_place *place)
{
	lookup(x, published_region, x, sector, count, place);
}

void dmr_update_begin(struct dmr_update *u, struct dmr_extents *x)
{
	u->extents = x;
	u->pending = 0;
	INIT_LIST_HEAD(&u->regions);
}

static struct dmr_region *pending_region(const struct dmr_update *u, unsigned long index)
{
	struct dmr_region *r;

	list_for_each_entry(r, &u->regions, pending)
		if (r->index == index)
			return r;
	return NULL;
}

static const struct dmr_region *updated_region(const void *source, unsigned long index)
{
	const struct dmr_update *u = source;
	const struct dmr_region *r = pending_region(u, index);

	/* The one writer is the caller: nobody changes the published region meanwhile. */
	return r ? r : rcu_dereference_protected(u->extents->region[index], true);
}

void dmr_update_lookup(const struct dmr_update *u, sector_t sector, sector_t count,
		       struct dmr_place *place)
{
	lookup(u->extents, updated_region, u, sector, count, place);
}

/* The region of this update to change, with room for a change. */
static struct dmr_region *writable_region(struct dmr_update *u, unsigned long index)
{
	struct dmr_region *old = pending_region(u, index);
	const struct dmr_region *from = old;
	struct dmr_region *r;
	unsigned int count;

	if (old && old->count + CHANGE <= old->room)
		return old;
	if (!from)
		from = rcu_dereference_protected(u->extents->region[index], true);

	count = from ? from->count : 0;
	r = kvmalloc(struct_size(r, extent, count + GROWTH(count)), GFP_NOIO);
	if (!r)
		return NULL;
	r->index = index;
	r->count = count;
	r->room = count + GROWTH(count);
	if (count)
		memcpy(r->extent, from->extent, count * sizeof(r->extent[0]));
	if (old) {
		list_del(&old->pending);
		kvfree(old);
	}
	list_add(&r->pending, &u->regions);
	return r;
}

static void make_room(struct dmr_region *r, unsigned int at)
{
	memmove(&r->extent[at + 1], &r->extent[at], (r->count - at) * sizeof(r->extent[0]));
	r->count++;
}

/* Behind @sectors of an extent that goes on: where that leads. */
static sector_t further(sector_t spare, u32 sectors)
{
	return spare == DMR_PENDING ? spare : spare + sectors;
}

/* Make [@from, @to) plain. Returns how many sectors of it were pending. */
static u32 region_clear(struct dmr_region *r, u32 from, u32 to)
{
	unsigned int at = first_behind(r, from);
	u32 pending = 0;

	while (at < r->count && r->extent[at].offset < to) {
		struct dmr_extent *e = &r->extent[at];
		const u32 start = max(e->offset, from), end = min(e->offset + e->sectors, to);
		const u32 left = start - e->offset, right = e->offset + e->sectors - end;

		if (e->spare & DMR_NO_DATA)
			pending += end - start;
		if (left && right) {
			make_room(r, at);
			e[0].sectors = left;
			e[1].offset = end;
			e[1].sectors = right;
			e[1].spare = further(e[1].spare, end - e[0].offset);
			at += 2;
		} else if (left) {
			e->sectors = left;
			at++;
		} else if (right) {
			e->spare = further(e->spare, end - e->offset);
			e->offset = end;
			e->sectors = right;
			at++;
		} else {
			r->count--;
			memmove(e, e + 1, (r->count - at) * sizeof(*e));
		}
	}
	return pending;
}

/* Into a gap. */
static void region_insert(struct dmr_region *r, u32 offset, sector_t spare, u32 sectors)
{
	unsigned int at = first_behind(r, offset);
	struct dmr_extent *e = at ? &r->extent[at - 1] : NULL;

	if (e && e->offset + e->sectors == offset && further(e->spare, e->sectors) == spare) {
		e->sectors += sectors;
		return;
	}
	make_room(r, at);
	e = &r->extent[at];
	e->offset = offset;
	e->sectors = sectors;
	e->spare = spare;
}

static int change(struct dmr_update *u, bool plain, sector_t main, sector_t spare, sector_t sectors)
{
	const unsigned int shift = u->extents->shift;

	while (sectors) {
		u32 offset = main & ((1ULL << shift) - 1);
		u32 part = min_t(sector_t, sectors, (1ULL << shift) - offset);
		struct dmr_region *r = writable_region(u, main >> shift);

		if (!r)
			return -ENOMEM;
		u->pending -= region_clear(r, offset, offset + part);
		if (!plain && spare & DMR_NO_DATA)
			u->pending += part;
		if (!plain)
			region_insert(r, offset, spare, part);
		main += part;
		spare = further(spare, part);
		sectors -= part;
	}
	return 0;
}

int dmr_update_set(struct dmr_update *u, sector_t main, sector_t spare, sector_t sectors)
{
	return change(u, false, main, spare, sectors);
}

int dmr_update_clear(struct dmr_update *u, sector_t main, sector_t sectors)
{
	return change(u, true, main, DMR_PENDING, sectors);
}

/* Readers that have found @old may go on using it for a while. */
static void replace_region(struct dmr_extents *x, unsigned long index, struct dmr_region *with)
{
	struct dmr_region *old = rcu_replace_pointer(x->region[index], with, true);

	if (old)
		kvfree_rcu(old, rcu);
}

void dmr_extents_replace(struct dmr_extents *x, struct dmr_extents *with)
{
	unsigned long i;

	for (i = 0; i < x->regions; i++)
		replace_region(x, i, rcu_replace_pointer(with->region[i], NULL, true));
	WRITE_ONCE(x->pending, with->pending);
}

void dmr_update_publish(struct dmr_update *u)
{
	struct dmr_region *r, *next;

	list_for_each_entry_safe(r, next, &u->regions, pending) {
		/* Nothing left in it: plain again, also for the quick test of dmr_lookup(). */
		replace_region(u->extents, r->index, r->count ? r : NULL);
		list_del(&r->pending);
		if (!r->count)
			kvfree(r);
	}
	WRITE_ONCE(u->extents->pending, u->extents->pending + u->pending);
	u->pending = 0;
}

void dmr_update_drop(struct dmr_update *u)
{
	struct dmr_region *r, *next;

	list_for_each_entry_safe(r, next, &u->regions, pending)
		kvfree(r);
	INIT_LIST_HEAD(&u->regions);
	u->pending = 0;
}
