/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The in-memory map: where each sector of main lives.
 *
 * Main is cut into regions of a power of two; a flat array holds for each region NULL
 * (nothing remapped) or an immutable sorted array of extents. Readers need nothing but
 * rcu_read_lock(). There is one writer at a time: it collects changes in an update,
 * which only it can see, and publishes them all at once; publishing cannot fail.
 */
#ifndef DMR_EXTENTS_H
#define DMR_EXTENTS_H

#include <linux/list.h>
#include <linux/rcupdate.h>
#include <linux/types.h>

/* With a sector on the spare: there is nothing to be read before it was written. */
#define DMR_NO_DATA ((sector_t)1 << 63)
/* In place of a sector on the spare: lives on main, where it could not be read. */
#define DMR_PENDING (~(sector_t)0)

/* A part of a region that lives on spare, or is pending. Offsets are in sectors. */
struct dmr_extent {
	u32 offset; /* from the start of the region */
	u32 sectors;
	sector_t spare; /* perhaps with DMR_NO_DATA; or DMR_PENDING */
};

struct dmr_region {
	struct rcu_head rcu;
	struct list_head pending; /* in an update; unused once published */
	unsigned long index;
	unsigned int count;
	unsigned int room; /* extents that were allocated */
	struct dmr_extent extent[];
};

struct dmr_extents {
	unsigned int shift; /* log2 of sectors per region */
	unsigned long regions;
	u64 pending; /* sectors, with those that have DMR_NO_DATA; for status */
	struct dmr_region __rcu **region;
};

/* Where a range starts, and for how long that holds. */
struct dmr_place {
	sector_t sector; /* on the device that holds it */
	sector_t run; /* sectors, at most those asked for */
	bool on_spare;
	bool pending; /* could not be read on main; on the spare: has DMR_NO_DATA */
};

/* Map of a main of @length sectors without any extent. -ENOMEM. */
int dmr_extents_init(struct dmr_extents *x, sector_t length);
/* Callers of these two know that no reader is left. */
void dmr_extents_clear(struct dmr_extents *x);
void dmr_extents_exit(struct dmr_extents *x);

/* Sectors from @sector to the end of its region. A change inside one happens, or does not. */
static inline sector_t dmr_region_left(const struct dmr_extents *x, sector_t sector)
{
	return (1ULL << x->shift) - (sector & ((1ULL << x->shift) - 1));
}

/* What dmr_lookup() does when a range is not wholly inside one untouched region. */
void dmr_lookup_slow(const struct dmr_extents *x, sector_t sector, sector_t count,
		     struct dmr_place *place);

/*
 * Where the sectors from @sector are, of @count > 0 that lie inside main. Under
 * rcu_read_lock(). The first test is all that a disk without remaps pays.
 */
static inline void dmr_lookup(const struct dmr_extents *x, sector_t sector, sector_t count,
			      struct dmr_place *place)
{
	unsigned long first = sector >> x->shift;

	if (likely(!rcu_access_pointer(x->region[first]) &&
		   first == (sector + count - 1) >> x->shift)) {
		place->sector = sector;
		place->run = count;
		place->on_spare = false;
		place->pending = false;
		return;
	}
	dmr_lookup_slow(x, sector, count, place);
}

/*
 * Take the place of @x, which readers use meanwhile, with @with, which nobody does; @with is empty
 * afterwards. Both are of one length. Not at one instant: what differs must not be in use.
 */
void dmr_extents_replace(struct dmr_extents *x, struct dmr_extents *with);

/* dmr_lookup() for one who may sleep: what it says can be out of date at once. */
static inline struct dmr_place dmr_locate(const struct dmr_extents *x, sector_t sector,
					  sector_t count)
{
	struct dmr_place place;

	rcu_read_lock();
	dmr_lookup(x, sector, count, &place);
	rcu_read_unlock();
	return place;
}

/* Changes that are not visible yet. Used by one writer at a time. */
struct dmr_update {
	struct dmr_extents *extents;
	struct list_head regions;
	s64 pending; /* sectors that become pending, less those that no longer are */
};

void dmr_update_begin(struct dmr_update *u, struct dmr_extents *x);

/*
 * From now on [@main, @main + @sectors) lives at @spare, perhaps with DMR_NO_DATA, or is
 * DMR_PENDING, whatever it was before.
 * -ENOMEM, and then the update holds only a part of it: drop the update, or set it again.
 */
int dmr_update_set(struct dmr_update *u, sector_t main, sector_t spare, sector_t sectors);

/* The same for plain sectors of main. */
int dmr_update_clear(struct dmr_update *u, sector_t main, sector_t sectors);

/* As dmr_lookup(), with the changes of this update. */
void dmr_update_lookup(const struct dmr_update *u, sector_t sector, sector_t count,
		       struct dmr_place *place);

void dmr_update_publish(struct dmr_update *u);
void dmr_update_drop(struct dmr_update *u);

#endif
