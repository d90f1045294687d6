/* SPDX-License-Identifier: GPL-2.0-only */
/* How far a device is the one that was recorded. Pure. */
#ifndef EVIDENCE_H
#define EVIDENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device.h"

enum fact {
	FACT_SIZE,
	FACT_WWID,
	FACT_SERIAL,
	FACT_PARTUUID,
	FACT_PARTITION, /* partition table and number */
	FACT_FSUUID,
	FACTS,
};

/* How a device compares with a recorded identity. */
struct evidence {
	enum says {
		SAYS_NOTHING, /* not recorded, or the device doesn't tell */
		SAYS_YES,
		SAYS_LARGER, /* size only */
		SAYS_NO,
	} says[FACTS];
	int confidence; /* 0-100; 0 also if the device is too small */
	bool possible; /* passes the hard checks */
	bool hardware_recorded; /* as some disks tell nothing of their hardware, and images have none */
};

/*
 * Compare @d with a recorded identity; @need is the least size in sectors. The weights are a table at
 * the top of evidence.c.
 */
void evidence_compare(const struct dmr_identity *id, uint64_t need, const struct device *d,
		      struct evidence *e);

/* One piece of evidence in words, e.g. "wwid agrees". */
void evidence_text(const struct evidence *e, enum fact fact, char *text, size_t size);

/* The hardware vouches for it, and nothing that tells devices apart speaks against it. */
bool evidence_strong(const struct evidence *e);

/* It is other hardware than was recorded: a clone, or what was copied to a new disk. */
bool evidence_cloned(const struct evidence *e);

/*
 * Hardware was recorded, and nothing of it agrees: no disk that another kernel only has another name for. A disk that
 * tells nothing of itself, as those behind USB may not, is none that did.
 */
bool evidence_elsewhere(const struct evidence *e);

/* Anything besides the size agrees. */
bool evidence_recognises(const struct evidence *e);

/* It is a device next to the one that is meant: the right disk or file system doesn't make up for that. */
bool evidence_neighbour(const struct evidence *e);

#endif
