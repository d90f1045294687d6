/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A store while it is loaded. Inside of the store.
 */
#ifndef DMR_STORE_LOAD_H
#define DMR_STORE_LOAD_H

#include "store_io.h"
#include "vote.h"

#define DMR_LOAD_BATCH 32 /* table blocks that are read or mended at once */

/* What is wrong with one block, bit per copy. */
struct dmr_damage {
	u8 stale; /* valid, but older than the winner */
	u8 invalid;
};

struct dmr_loader {
	struct dmr_store *store; /* knows its superblock and table: the winners */
	struct dmr_damage super;
	struct dmr_damage *table; /* per table block */
	struct dmr_tally tally;
	void *scratch[DMR_LOAD_BATCH]; /* blocks */
	struct dmr_vote vote[DMR_LOAD_BATCH]; /* on the blocks that are read */
};

/* store_level.c */

/*
 * Bring all copies level before any I/O is served; then the superblock follows in its waves, also
 * when it adopts blocks newer than itself. A copy that can't be mended becomes one of bad_copies.
 * The error of a flush, or -EIO if fewer than two copies are good. Sleeps.
 */
int dmr_level_copies(struct dmr_loader *l);

#endif
