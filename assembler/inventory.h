/* SPDX-License-Identifier: GPL-2.0-only */
/* What is on this machine: all devices, and the metadata on those that are spares. */
#ifndef INVENTORY_H
#define INVENTORY_H

#include "match.h"

struct inventory {
	struct device *devices;
	size_t device_count;
	struct found_spare *spares;
	struct copies *copies; /* of each spare; the descriptors are closed */
	size_t spare_count;
};

/*
 * Look at the devices @paths, or at all block devices if @count is 0. Devices that can't be read are
 * reported if they were named. Returns 0 or exit status bits; release with inventory_free() in
 * any case.
 */
int inventory_read(struct inventory *inv, char *const *paths, int count);
void inventory_free(struct inventory *inv);

/* What match_decide() wants to know of a spare. */
void inventory_describe(struct found_spare *s, const struct device *d, const struct copies *c);

#endif
