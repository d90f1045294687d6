/* SPDX-License-Identifier: GPL-2.0-only */
/* Carries out one decision: mends the copies, activates the set, and says what came of it. */
#ifndef ACT_H
#define ACT_H

#include "match.h"

enum repair_result {
	REPAIR_NONE, /* nothing to mend */
	REPAIR_NEEDED, /* to be mended, but not allowed or not done */
	REPAIR_DONE,
	REPAIR_FAILED, /* some copies could not be mended */
};

struct outcome {
	enum repair_result repair;
	unsigned int repaired_copies;
	unsigned int valid_copies; /* afterwards */
	bool activated; /* by us, now */
	int status; /* exit status bits */
};

/*
 * Carry out @d, whose kind and reason change if it can't be done. With @policy->dry_run nothing
 * is touched, and the outcome says what would be needed.
 */
void act(struct decision *d, const struct policy *policy, struct outcome *o);

/* Map the partitions of active set @name that are not mapped yet. Returns exit status bits. */
int act_map_partitions(const char *name);

/* "none", "needed", "done" or "failed" */
const char *repair_text(enum repair_result repair);

#endif
