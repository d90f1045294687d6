/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Some of the states, drawn from all that have to be mended, kept as images: a kernel can load them.
 */
#ifndef KEEP_H
#define KEEP_H

#include "disk.h"

/* Keeps @count of them, in folders 0, 1, ... of @folder, which is there. @folder stays the caller's. */
void keep_begin(const char *folder, unsigned int count, uint64_t seed);

/*
 * A state: what ->now of a main, of the spare that is used, and of a journal, if there is one, is. It is
 * kept, as main.img, spare.img and journal.img, or not, or until another takes its place.
 */
void keep_state(const struct disk *main, const struct disk *spare, const struct disk *journal);

#endif
