/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The spares that are there, remembered from one udev event to the next: a main that comes later is known by
 * them, and where there are none other devices cost nothing. A file for each under /run/dm-remap/spares,
 * which the udev rule looks at too.
 */
#ifndef REMEMBERED_H
#define REMEMBERED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uuid/uuid.h>

/*
 * There is a spare @path of the set @uuid. Returns true if that is new. One that can't be remembered is
 * reported, and found by "assemble" alone.
 */
bool remember(const char *path, const uint8_t *uuid);

/* Returns true if @path was remembered, and in @uuid which set it was of: 0 if that can't be told any more. */
bool forget(const char *path, uuid_t uuid);

/* Returns true if udev took @dev for a member at its last event, and in @set of which set. */
bool remembered_member(dev_t dev, uuid_t set);

/* True if a spare of @set is remembered. */
bool remembered_set(const uuid_t set);

/* The paths of those that are remembered, and their number; free_paths() them. */
int remembered(char ***paths);
void free_paths(char **paths, int count);

#endif
