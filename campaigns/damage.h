/* SPDX-License-Identifier: GPL-2.0-only */
/* The catalogue: what may become of the metadata on a spare. */
#ifndef DAMAGE_H
#define DAMAGE_H

#include "image.h"

struct damage {
	const char *name;
	unsigned int weight; /* how often it is drawn, by the sum of all */
	/* @other is another set of the same size */
	void (*inflict)(struct image *i, const struct history *other, uint64_t *random);
};

extern const struct damage catalogue[];
extern const unsigned int catalogue_size;

/* One of them. */
const struct damage *damage_draw(uint64_t *random);

#endif
