/* SPDX-License-Identifier: GPL-2.0-only */
/* What a device is to the sets of this machine. */
#ifndef MEMBER_H
#define MEMBER_H

#include <uuid/uuid.h>

#include "device.h"

enum member {
	MEMBER_NONE,
	MEMBER_SPARE,
	MEMBER_MAIN, /* or a partition of one */
};

/*
 * Whether @d is a member of a set that is active, or that would be activated or could be, and in @set of which.
 * It must be quick, and when unsure it says that it is none: a device wrongly taken for a member is a system
 * that doesn't boot. Adds to @d what device_probe() does, in part.
 */
enum member member_of(struct device *d, uuid_t set);

/*
 * Whether block device @dev is the bare main of a set that is not active, or is built on one, and in @set of which.
 * Unlike for member_of() it may be in use: what has LVM activated on it was quicker than the set.
 */
bool member_below(dev_t dev, uuid_t set);

#endif
