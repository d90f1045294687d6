/* SPDX-License-Identifier: GPL-2.0-only */
/* Copies that do alone: whatever becomes of the four others. */
#ifndef ALONE_H
#define ALONE_H

#include <stdbool.h>
#include <stdint.h>

#include "copies.h"

/* Whether what was elected of one copy is right; @arg: count_alone()'s. */
typedef bool does_alone(const struct copies *found, void *arg);

/*
 * How many copies of the spare @fd, of so many sectors, would do if the others were zeroes; when @enough
 * are found no more are looked for. @uuid as for copies_read(). The spare is left as it was.
 */
unsigned int count_alone(int fd, uint64_t sectors, const struct dmr_layout *l, const uint8_t *uuid,
			 does_alone *does, void *arg, unsigned int enough);

#endif
