/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The five copies on one spare: found, read, voted on.
 *
 * Damage is a result here, not an error: whatever can't be read or isn't valid loses its vote.
 * Winning table blocks are not kept, only their extents and who holds them, so memory is
 * bounded by what is there, not by what a field claims.
 */
#ifndef COPIES_H
#define COPIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vote.h"

enum verdict {
	VERDICT_NONE, /* no dm-remap metadata */
	VERDICT_CLEAN, /* all copies are valid, equal and current */
	VERDICT_REPAIRABLE, /* a current instance of every block is known; others are to be mended */
	VERDICT_LOST, /* not to be used; the reason says why */
};

struct copies {
	int fd;
	uint64_t sectors; /* size of the device */
	struct dmr_layout layout; /* valid unless the device is too small */
	struct dmr_super *super; /* as read from the five places, DMR_COPIES of them */
	enum dmr_fault fault[DMR_COPIES]; /* of each superblock */
	int elected; /* copy whose superblock stands for the set, or -1 */
	uint8_t uuid[DMR_UUID_SIZE]; /* of the set, as far as known; 0 if not */
	uint8_t *current; /* by block index: bit per copy that holds the winner */
	uint32_t bad_blocks[DMR_COPIES]; /* blocks that are not the winner's, superblock included */
	struct dmr_tally tally;
	struct dmr_entry *extent; /* sorted by main */
	size_t extents;
	enum verdict verdict;
	enum dmr_fault reason; /* why lost, or the first damage found */
};

/*
 * Read everything. @uuid, if not NULL, is the set that is wanted. Returns 0, whatever the verdict,
 * or -ENOMEM. Release with copies_free() in any case; @fd stays the caller's.
 */
int copies_read(struct copies *c, int fd, uint64_t sectors, const uint8_t *uuid);

/*
 * Read and elect superblocks only: all fields but those of the table are filled. The verdict is
 * VERDICT_NONE, VERDICT_LOST or VERDICT_REPAIRABLE (nobody asked the table).
 */
int copies_read_super(struct copies *c, int fd, uint64_t sectors, const uint8_t *uuid);

void copies_free(struct copies *c);

/* The superblock that stands for the set; NULL if none does. */
const struct dmr_super *copies_super(const struct copies *c);

/* Table blocks in use in each copy; 0 without an elected superblock. */
uint32_t copies_table_blocks(const struct copies *c);

/* Copies that are valid and current from end to end. */
unsigned int copies_valid(const struct copies *c);

/*
 * True if no superblock stands where the first copy was: the start of a device is what is written over when
 * it is made into something else, and the one place of the five where no file can lie.
 */
bool copies_lost_start(const struct copies *c);

/* True if any superblock is of a format newer than ours: then nothing may be written. */
bool copies_newer_format(const struct copies *c);

/* "clean", "repairable", "lost" or "none" */
const char *verdict_text(enum verdict verdict);

#endif
