/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lists of bad sectors as other programs write them: badblocks (one block number a line) and GNU
 * ddrescue (map files). Pure.
 */
#ifndef BADLIST_H
#define BADLIST_H

#include <stddef.h>
#include <stdint.h>

#include "ranges.h"

/* Of the blocks that badblocks counts: its default, and its limit. */
#define BADLIST_BLOCK_BYTES     1024
#define BADLIST_MAX_BLOCK_BYTES (16u << 20)

/* Of areas in a map: not tried, not trimmed, not scraped, bad, rescued. */
#define BADLIST_TYPES "?*/-+"
#define BADLIST_BAD   "-"

enum badlist_kind {
	BADLIST_EMPTY, /* nothing but comments: what badblocks writes when all is well */
	BADLIST_BLOCKS,
	BADLIST_MAP,
};

struct badlist {
	enum badlist_kind kind;
	struct ranges bad;
	uint64_t end; /* the device that was looked at has at least as many sectors */
	char error[200]; /* what is wrong with the list, if something is */
};

struct badlist_options {
	uint32_t block_bytes; /* of a badblocks list; a multiple of 512 */
	const char *types; /* of the areas of a map that count as bad */
};

/*
 * Read the @size bytes of @text, which a NUL follows, and which is changed. What it is shows by its
 * first line. Returns 0, -EINVAL with l->error set, or -ENOMEM. Release with badlist_free() in any
 * case.
 */
int badlist_parse(struct badlist *l, char *text, size_t size, const struct badlist_options *o);

void badlist_free(struct badlist *l);

#endif
