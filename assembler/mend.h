/* SPDX-License-Identifier: GPL-2.0-only */
/* Everything that writes metadata: making a new set, and bringing the copies of one level again. */
#ifndef MEND_H
#define MEND_H

#include "copies.h"

struct mend_result {
	uint32_t blocks; /* table blocks that were, or would have to be, written */
	unsigned int supers; /* superblocks, likewise */
	unsigned int failed; /* bit per copy that could not be brought level */
};

/* What mending would write: blocks of the table that are not the winner's, and all superblocks if anything is. */
void mend_plan(const struct copies *c, struct mend_result *r);

/*
 * Bring all copies of @c, whose verdict is VERDICT_REPAIRABLE and which was read through a descriptor open
 * for writing, to the winners' content. With @replaced, the superblock of the spare that this one took the
 * place of, it may be VERDICT_CLEAN, and is the set's own from then on. @now is in seconds since 1970. Returns 0 if at least
 * one superblock says so afterwards (@r->failed tells which copies do not), or a negative errno:
 * -EROFS if features forbid writing, -EOVERFLOW if generations have run out, -EIO if nothing could be
 * committed. Read the copies again to see where they stand.
 */
int mend_copies(struct copies *c, const struct dmr_super *replaced, uint64_t now,
		struct mend_result *r);

/*
 * Write a new, empty set: wipe the five superblock places of @l, then all table blocks, then @super in
 * all copies, each step stable before the next. Returns 0 or a negative errno.
 */
int mend_format(int fd, const struct dmr_layout *l, struct dmr_super *super);

#endif
