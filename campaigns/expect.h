/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What must be found on a damaged spare. Nothing is parsed for it: which version each instance of a
 * block is, is seen by its bytes, and what follows is docs/format.md's rule.
 */
#ifndef EXPECT_H
#define EXPECT_H

#include "image.h"

#define MAX_BLOCKS 128

struct expectation {
	enum verdict verdict; /* LOST stands for NONE as well */
	bool may_be_lost; /* is nothing that anybody promised */
	/* what is impossible with the current version of the other blocks need not be so with an older one */
	bool unknown;
	bool split; /* two instances claim to be the newest, and differ */
	bool current; /* of each block the newest version is left: that is all that is promised */
	int instance[DMR_COPIES]
		    [MAX_BLOCKS]; /* the version of each; VERSIONS: impossible; -1: none */
	/* the newest of each block, in copies that are written still; if there is none there, in the others */
	int winner[MAX_BLOCKS];
	uint32_t bad_tables; /* instances of table blocks that are not the winner */
};

void expect(struct expectation *e, const struct history *h, const struct image *i);

/* True if the extents found are those of the winners. */
bool expect_table(const struct expectation *e, const struct history *h, const struct copies *c);

#endif
