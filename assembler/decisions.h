/* SPDX-License-Identifier: GPL-2.0-only */
/* From an inventory of the machine to what is done about it, one decision after the other. */
#ifndef DECISIONS_H
#define DECISIONS_H

#include <jansson.h>

#include "inventory.h"

/*
 * One dmremap at a time acts on sets: the next one then finds them active. Returns a descriptor to be closed,
 * or -1 with the reason said, as one that hangs, on a dead disk perhaps, is not waited for long. What reads
 * devices that may be none of the set's does so before it takes the lock.
 */
int decisions_lock(void);

/* inventory_decide() with what is active now. */
int decisions_make(const struct inventory *inv, const struct policy *policy,
		   const char *const *wanted, size_t wanted_count, struct decision **decisions);

/*
 * What would be decided if the device @path and the spares that are remembered and in no active set were
 * all that is there. Fills @inv, which the decisions point into: inventory_free() it in any case. Returns
 * their number, or -1 with the reason said.
 */
int decisions_preview(struct inventory *inv, const struct policy *policy, char *path,
		      struct decision **decisions);

/*
 * Carry out @d and say so: as an object in @list, or as a sentence on stdout if that is NULL; in the
 * activation log only with @record. Returns exit status bits.
 */
int decisions_carry_out(struct decision *d, const struct policy *policy, bool record, json_t *list);

#endif
