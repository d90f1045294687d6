/* SPDX-License-Identifier: GPL-2.0-only */
/* The only file that talks to device-mapper and loads modules. */
#ifndef ACTIVATE_H
#define ACTIVATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uuid/uuid.h>

#include "format.h"

/* A set that is active, as dm core tells it. */
struct active_set {
	char name[DMR_NAME_SIZE]; /* of the DM device */
	uuid_t uuid;
	dev_t dev;
	dev_t main, spare; /* 0 if the target did not tell */
};

/* What the target's status line says. Strings are empty where a line was shorter or unknown. */
struct active_status {
	char mode[16], health[16];
	uint64_t remapped_sectors, spare_sectors, extents, pending_sectors;
	unsigned int valid_copies;
	uint64_t generation, repairs, scrubs;
	uint64_t last_repair_time; /* seconds since 1970, 0 = never */
};

struct activation {
	const char *name;
	const uint8_t *uuid;
	uint64_t length; /* sectors */
	dev_t main, spare;
	bool read_only;
	bool no_repair;
};

/* Make the target available: load the modules it needs, if they aren't there. Returns 0 or a negative errno. */
int activate_prepare(void);

/*
 * List the active sets; the caller frees *@list. Returns their number, also 0 if there is no
 * device-mapper, or a negative errno.
 */
int activate_list(struct active_set **list);

/*
 * Make a set's DM device and wait until /dev/mapper/NAME is there. Returns 0 or a negative errno;
 * -EEXIST if a device of this name or UUID exists.
 */
int activate_create(const struct activation *a);

/* Remove a set's DM device. Returns 0 or a negative errno; -EBUSY if it is open. */
int activate_remove(const char *name);

/* Ask the target of @set. Returns 0 or a negative errno. */
int activate_status(const struct active_set *set, struct active_status *status);

/* Take apart the target's part of a status line. False if it is not one of ours. */
bool activate_parse_status(const char *params, struct active_status *status);

#endif
