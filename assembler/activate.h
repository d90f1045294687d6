/* SPDX-License-Identifier: GPL-2.0-only */
/* Making and unmaking the DM device of a set. The only file that loads modules. */
#ifndef ACTIVATE_H
#define ACTIVATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uuid/uuid.h>

#define SCRUB_INTERVAL 3600 /* seconds; what the target does without being told */

struct activation {
	const char *name;
	const uint8_t *uuid;
	uint64_t length; /* sectors */
	dev_t main, spare;
	bool read_only;
	bool no_repair;
	unsigned int scrub_interval; /* seconds; 0 = off */
};

/* Make the target available: load the modules it needs, if they aren't there. Returns 0 or a negative errno. */
int activate_prepare(void);

/*
 * Make a set's DM device and wait until /dev/mapper/NAME is there. Returns 0 or a negative errno;
 * -EBUSY if a device of this name or UUID exists, or a member is in use.
 */
int activate_create(const struct activation *a);

/* Suspend the set for a moment: all that was under way has ended then. Returns 0 or a negative errno. */
int activate_settle(const char *name);

#endif
