/* SPDX-License-Identifier: GPL-2.0-only */
/* The active sets: which there are, how they are, and what they are told to do. */
#ifndef ACTIVE_H
#define ACTIVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uuid/uuid.h>

#include "format.h"
#include "ranges.h"

#define UUID_PREFIX "DMREMAP-" /* of the DM device of a set; its UUID follows */

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
	char action
		[16]; /* what is being done in the background: "idle", "repair", "scrub", "migrate" */
	uint64_t scrubbed_sectors; /* replacement sectors that the scrub under way has read */
	uint64_t unreadable_sectors; /* of these, by the last complete one */
	/* from sysfs, where a suspended set has nothing to say */
	uint64_t spare_free_sectors; /* then: those not used */
	uint64_t last_repair_time; /* seconds since 1970, 0 = never */
};

/*
 * List the active sets; the caller frees *@list. Returns their number, also 0 if there is no
 * device-mapper, or a negative errno.
 */
int active_list(struct active_set **list);

/* The same, with a complaint about an error. */
int active_list_or_complain(struct active_set **list);

/* True if an active set is called @name. */
bool active_lookup(const char *name, struct active_set *set);

/* True if a DM device of UUID @dm_uuid is a set, or a partition of one. */
bool active_is_set(const char *dm_uuid);

/* True if block device @dev is a member of an active set, and of which. */
bool active_holder(dev_t dev, uuid_t set);

/* Find the active set called @name. Returns 0 or, with a complaint, an exit status. */
int active_find(const char *name, struct active_set *set);

/* Ask the target of @set. Returns 0 or a negative errno. */
int active_status(const struct active_set *set, struct active_status *status);

/* Ask which sectors are pending; release @pending in any case. Returns 0 or a negative errno. */
int active_pending(const char *name, struct ranges *pending);

/* Have all copies mended. Returns 0, -EIO if damage is left, or another negative errno. */
int active_repair(const char *name);

/* A move to another spare. */
struct migration {
	dev_t to; /* is being filled; 0: none is */
	uint64_t done, all; /* sectors */
	dev_t failed; /* the last one that ended without success, 0 if it didn't */
	int error; /* and why, a negative errno */
};

/* Begin to move the set to the spare @dev; end that without success; ask how it stands. 0 or a negative errno. */
int active_migrate(const char *name, dev_t dev);
int active_cancel(const char *name);
int active_migration(const char *name, struct migration *m);

#define ACTIVE_MOVES 32 /* ranges that the target moves with one commit */

/*
 * Have @count ranges, at most ACTIVE_MOVES, of whole logical blocks, ascending, moved to the spare.
 * Returns 0, -EIO if not all of it is there now, or another negative errno if there is no point in
 * going on.
 */
int active_move(const char *name, const struct range *range, size_t count);

/* Take apart the target's answer to "pending". False if it is not one. */
bool active_parse_pending(const char *answer, struct ranges *pending);

/* Take apart the target's part of a status line. False if it is not one of ours. */
bool active_parse_status(const char *params, struct active_status *status);

#endif
