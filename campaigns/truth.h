/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every sector of a set may hold after a power cut, by the journal that the guest kept: the
 * model is that of tests-vm/guest/oracle.h, which knows nothing of how a set works.
 */
#ifndef TRUTH_H
#define TRUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "disk.h"

#define SECTOR_SIZE 512

/* The next of the random numbers that @state leads to. */
uint64_t random_next(uint64_t *state);

/*
 * A run of the oracle with this seed on a set of @sectors. @losses: with a flush that failed something may be gone.
 * Before all else here.
 */
void truth_begin(uint64_t seed, uint64_t sectors, bool losses);

/* What a sector says that it is. */
struct label truth_label(const void *sector);

/* The guest wrote @data to its journal. */
void truth_journal(const void *data, uint64_t length);

/* True if a sector of the set may hold what is labelled so. */
bool truth_allows(uint32_t sector, struct label label);

/* Says on stdout that a sector of the set holds what is @found, and all that was ever done to it. */
void truth_explain(const void *found, uint32_t sector);

/* True if no operation ended with an error that its caller did not ask for; if not they are told on stdout. */
bool truth_all_succeeded(void);

/* Operations in the journal so far. */
uint32_t truth_operations(void);

#endif
