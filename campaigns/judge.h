/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether a set still keeps what it promised, after a power cut: what of dmremap decides at boot is
 * asked which spare is to be used, mends it, and must then lead to what the journal says.
 */
#ifndef JUDGE_H
#define JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "copies.h"
#include "disk.h"

#define MAX_SPARES 2

struct judge {
	const struct disk *main;
	struct disk *spare[MAX_SPARES];
	unsigned int spares;
	bool made; /* that the set was made has been acknowledged */
	/* if not NULL, told of a state whose set has to be mended, before that is done */
	void (*to_mend)(const struct disk *spare);
	unsigned int alone; /* once it is made, copies that must do alone, were the others lost */
	/* states in which something was mended; in which no set was found; that were looked at for .alone */
	uint64_t mended, unmade, looked_alone;
	uint64_t torn; /* states in the middle of mending, besides */
};

/*
 * Judge what ->now of all disks is. What is mended is left so. False if a promise is broken, and
 * then that was said on stdout.
 */
bool judge_state(struct judge *j, uint64_t *random);

/* Back to what is stable, also where something was mended. */
void judge_restore(struct judge *j);

#endif
