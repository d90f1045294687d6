// SPDX-License-Identifier: GPL-2.0-only
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "keep.h"
#include "truth.h"

static struct {
	const char *folder;
	unsigned int count; /* 0: nothing is kept */
	uint64_t seen, random;
} keep;

void keep_begin(const char *folder, unsigned int count, uint64_t seed)
{
	keep.folder = folder;
	keep.count = count;
	keep.random = seed;
}

static void write_image(uint64_t place, const char *name, const struct disk *d)
{
	char path[PATH_MAX];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%" PRIu64 "/%s.img", keep.folder, place, name);
	file = fopen(path, "w");
	if (!file || fwrite(d->now, SECTOR_SIZE, d->sectors, file) != d->sectors || fclose(file))
		err(2, "%s", path);
}

static void write_state(uint64_t place, const struct disk *main, const struct disk *spare,
			const struct disk *journal)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%" PRIu64, keep.folder, place);
	if (mkdir(path, 0777) && errno != EEXIST)
		err(2, "%s", path);
	write_image(place, "main", main);
	write_image(place, "spare", spare);
	if (journal)
		write_image(place, "journal", journal);
}

/* Each state so far has the same chance to be among those that are kept. */
void keep_state(const struct disk *main, const struct disk *spare, const struct disk *journal)
{
	uint64_t place = keep.seen++;

	if (!keep.count)
		return;
	if (place >= keep.count)
		place = random_next(&keep.random) % keep.seen;
	if (place < keep.count)
		write_state(place, main, spare, journal);
}
