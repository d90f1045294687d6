/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The partitions of a set whose main is a whole disk: DM devices NAME-partN on the set take the place of those
 * that the kernel has found on the main, which nobody may use any more.
 */
#ifndef PARTITIONS_H
#define PARTITIONS_H

#include "active.h"

/* Map those that the set shows, and have the kernel drop the main's own. Returns 0 or, with a complaint, a negative errno. */
int partitions_map(const struct active_set *set);

/* The device of the set's partition @number; 0 if it is not mapped. */
dev_t partitions_device(const struct active_set *set, int number);

/* True if somebody besides its partitions has the set open, or somebody a partition. */
bool partitions_used(const struct active_set *set);

/*
 * The way back, before the set is stopped: remove all, or none if one is in use. Returns how many there were,
 * or a negative errno with the name of the one that is in the way in @name.
 */
int partitions_unmap(const struct active_set *set, char *name, size_t size);

/* And after that: have the kernel look for the main's own again. */
void partitions_return(dev_t main);

#endif
