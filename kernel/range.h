/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ranges of main, in lists. See hold.c.
 */
#ifndef DMR_RANGE_H
#define DMR_RANGE_H

#include <linux/list.h>
#include <linux/rcupdate.h>
#include <linux/types.h>

/* A range of main, with others like it. */
struct dmr_range {
	struct list_head list;
	struct rcu_head rcu;
	sector_t start;
	sector_t end;
};

/* Add a range to a list, or to its last one if it continues that. -ENOMEM. */
int dmr_ranges_add(struct list_head *ranges, sector_t start, sector_t sectors);
void dmr_ranges_free(struct list_head *ranges);

#endif
