/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The metadata of a set as it was after each of a few commits: what damage is made of, and what tells
 * without any parser how much of it there is.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "copies.h"

#define VERSIONS 6

struct history {
	uint8_t uuid[DMR_UUID_SIZE];
	struct dmr_layout layout; /* of its spare */
	uint32_t blocks; /* of each copy, superblock included */
	char *version[VERSIONS]; /* blocks of a copy, one behind the other; the last is current */
	/* table blocks as of a next commit; each claims a sector that another one has, on main or spare */
	char *impossible;
	char *twin; /* blocks of the current generation, valid, with another content; zeroes where there is none */
	/* what may stand behind the table, if there is room: of the first generation, and of a next one */
	struct dmr_table behind[2];
	uint8_t failed; /* bit per copy: not written any more */
	unsigned int since; /* the first version that was not written there */
};

/* A set drawn from @random, whose spare has @sectors. Exits if it can't. */
void history_begin(struct history *h, uint64_t sectors, uint64_t *random);
void history_end(struct history *h);

/* Block @index as of a version; VERSIONS: as it can't be. */
const char *history_block(const struct history *h, unsigned int version, uint32_t index);
/* What the block is in a copy that nothing has happened to. */
const char *history_in_copy(const struct history *h, unsigned int copy, uint32_t index);

/* The twin of a block; NULL if it has none. */
const char *history_twin(const struct history *h, uint32_t index);

/* True if there is room for a block behind the table. */
static inline bool history_has_behind(const struct history *h)
{
	return h->blocks <= h->layout.table_capacity;
}

static inline const char *history_current(const struct history *h, uint32_t index)
{
	return history_block(h, VERSIONS - 1, index);
}

#endif
