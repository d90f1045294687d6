/* SPDX-License-Identifier: GPL-2.0-only */
/* What is on this machine: all devices, and the metadata on those that are spares. */
#ifndef INVENTORY_H
#define INVENTORY_H

#include "match.h"

struct inventory {
	struct device *devices;
	size_t device_count;
	struct found_spare *spares;
	struct dmr_super *supers; /* of each spare, if it has one */
	size_t spare_count;
	size_t unread; /* devices of which it could not be found out whether they are spares */
	char *const *asked; /* paths of those that are looked at for metadata; NULL: all */
	int asked_count;
	unsigned int patience; /* seconds without a word from a device after which it is left out */
};

/* Longer than most disks try to read a bad sector. */
#define INVENTORY_PATIENCE 30

/*
 * Look at the devices @paths, or at all block devices if @count is 0, at all of them at once. Devices that
 * can't be read are reported if they were named, those that don't answer in any case. Returns 0 or exit
 * status bits; release with inventory_free() in any case.
 */
int inventory_read(struct inventory *inv, char *const *paths, int count, unsigned int patience);
/* The same for all block devices, with INVENTORY_PATIENCE, of which only @paths, that are there, can be spares. */
int inventory_read_spares(struct inventory *inv, char *const *paths, int count);
/*
 * match_decide() on what there is and @active. The caller frees *@decisions, which point into @inv. Returns
 * their number, or -1 with the reason said.
 */
int inventory_decide(const struct inventory *inv, const struct policy *policy,
		     const struct active_set *active, size_t active_count,
		     const char *const *wanted, size_t wanted_count, struct decision **decisions);
void inventory_free(struct inventory *inv);

#endif
