/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The power goes again, while a spare is mended: at each flush what would then be left is made, of
 * what came before it, and looked at. It must lead to the same table, and if two copies did alone
 * before, one at least has to at any time: that is looked at in some states.
 *
 * To be linked with --wrap=block_write and --wrap=blocks_flush.
 */
#ifndef REHEARSAL_H
#define REHEARSAL_H

#include <stdbool.h>
#include <stdint.h>

#include "alone.h"
#include "copies.h"
#include "disk.h"

/*
 * @copies were read from the spare, as those of the set @uuid, or of NULL, and are to be mended. @does
 * and @arg are count_alone()'s. All stay the caller's.
 */
void rehearsal_begin(const struct disk *spare, const struct copies *copies, const uint8_t *uuid,
		     does_alone *does, void *arg, uint64_t *random);

/* True if both have the same extents. */
bool same_table(const struct copies *a, const struct copies *b);

/* The number of states that were looked at, if any. @good: each led to the table; if not that was said. */
unsigned int rehearsal_end(bool *good);

#endif
