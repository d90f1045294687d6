// SPDX-License-Identifier: GPL-2.0-only
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alone.h"

static size_t copy_size(const struct dmr_layout *l)
{
	return dmr_copy_sectors(l) * DMR_SECTOR_SIZE;
}

/* What all copies hold, one behind the other. */
static char *read_all(int fd, const struct dmr_layout *l)
{
	size_t size = copy_size(l);
	char *all = malloc(DMR_COPIES * size);

	if (!all)
		err(2, "memory");
	for (unsigned int i = 0; i < DMR_COPIES; i++)
		if (pread(fd, all + i * size, size, l->copy_sector[i] * DMR_SECTOR_SIZE) !=
		    (ssize_t)size)
			err(2, "memory");
	return all;
}

static void write_copy(int fd, const struct dmr_layout *l, unsigned int copy, const char *data)
{
	size_t size = copy_size(l);

	if (pwrite(fd, data, size, l->copy_sector[copy] * DMR_SECTOR_SIZE) != (ssize_t)size)
		err(2, "memory");
}

unsigned int count_alone(int fd, uint64_t sectors, const struct dmr_layout *l, const uint8_t *uuid,
			 does_alone *does, void *arg, unsigned int enough)
{
	char *all = read_all(fd, l), *nothing = calloc(1, copy_size(l));
	unsigned int count = 0;
	struct copies found;

	if (!nothing)
		err(2, "memory");
	for (unsigned int copy = 0; copy < DMR_COPIES; copy++)
		write_copy(fd, l, copy, nothing);
	for (unsigned int copy = 0; copy < DMR_COPIES && count < enough; copy++) {
		write_copy(fd, l, copy, all + copy * copy_size(l));
		if (copies_read(&found, fd, sectors, uuid))
			err(2, "memory");
		count += found.verdict == VERDICT_REPAIRABLE && does(&found, arg);
		copies_free(&found);
		write_copy(fd, l, copy, nothing);
	}
	for (unsigned int copy = 0; copy < DMR_COPIES; copy++)
		write_copy(fd, l, copy, all + copy * copy_size(l));
	free(nothing);
	free(all);
	return count;
}
