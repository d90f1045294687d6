/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A disk whose write cache is lost with the power, and every image that may be left of it.
 *
 * What a flush that was done covers is stable, and so is what was written with FUA. Of the rest each
 * write may be there whole, in part, or not at all, whatever became of those before it: that is any
 * order in which a disk may write its cache. It is torn between sectors, never within one.
 *
 * tests-vm/harness/powerloss.py is the same for a guest that runs.
 */
#ifndef DISK_H
#define DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"

/* What a sector says that it is, by the oracle's data; see tests-vm/guest/oracle.h. */
struct label {
	uint32_t version; /* 0: zeroes; or GARBAGE */
	uint32_t sector; /* that it was written to; of zeroes: any */
};

struct write {
	const struct request *req;
	const char *data; /* NULL: zeroes */
	struct label *label; /* of each of its sectors */
	uint64_t number; /* of those that the disk received */
	bool safe;
};

struct disk {
	const char *path; /* of its first image */
	uint64_t sectors;
	bool write_through; /* has no such cache */
	int fd; /* what is on it after the power was lost; at other times what is stable */
	char *now; /* the same in memory */
	char *stable;
	struct label *now_label, *stable_label; /* of each sector */
	struct write *cache; /* in the order in which they came */
	size_t cached, room;
	uint64_t received;
};

/* Exits if it can't. @path stays the caller's. */
void disk_open(struct disk *d, const char *path, bool write_through);

/* A request came. Nothing is stable by that. */
void disk_receive(struct disk *d, const struct request *req, const char *data);

/* A flush failed: writes are gone, by their numbers of those that the disk received, in ascending order. */
void disk_lose(struct disk *d, const uint64_t *numbers, size_t count);

/* It was done. */
void disk_complete(struct disk *d, const struct request *req);

/* Makes of ->now what may be left if the power goes now; @random is the state of random_next(). */
void disk_lose_power(struct disk *d, uint64_t *random);

/* Back to what is stable; also [@sector, @sector + @count), which somebody wrote. */
void disk_restore(struct disk *d);
void disk_restore_range(struct disk *d, uint64_t sector, uint64_t count);

#endif
