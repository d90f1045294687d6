/* SPDX-License-Identifier: GPL-2.0-only */
/* What libblkid knows about the content of a device. */
#ifndef PROBE_H
#define PROBE_H

#include "device.h"

/* Fill partuuid, ptuuid and fsuuid of @d. */
void probe_ids(struct device *d);

/* The same of partuuid and ptuuid if @d is a partition, which takes a few blocks instead of a MiB. */
void probe_partition(struct device *d);

/*
 * Name the first signature on @d (file system, RAID, partition table, ...) in @name. Returns 1 if
 * there is one, 0 if not, or a negative errno.
 */
int probe_signature(const struct device *d, char *name, size_t size);

/* Erase all signatures on @d, which the caller has open exclusively. Returns 0 or a negative errno. */
int probe_wipe(const struct device *d);

#endif
