/* SPDX-License-Identifier: GPL-2.0-only */
/* Has sectors that somebody named moved to the spare, and says what came of it. */
#ifndef MOVE_H
#define MOVE_H

#include <stdbool.h>

#include "active.h"
#include "ranges.h"

/* Sectors of the set's device. */
uint64_t move_limit(const struct active_set *set);

/*
 * Widen @wanted, all of it below move_limit(), to whole logical blocks of the main and move them.
 * Those that cannot be moved, and totals, are reported. Returns an exit status.
 */
int move_ranges(const struct active_set *set, struct ranges *wanted, bool dry_run);

#endif
