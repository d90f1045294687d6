// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blocks.h"
#include "format.h"
#include "workers.h"

void *blocks_alloc(size_t count)
{
	return aligned_alloc(DMR_BLOCK_SIZE, count * DMR_BLOCK_SIZE);
}

static bool read_all(int fd, uint64_t sector, uint32_t count, void *to)
{
	size_t size = (size_t)count * DMR_BLOCK_SIZE;
	ssize_t n = pread(fd, to, size, sector * DMR_SECTOR_SIZE);

	workers_alive();
	return n == (ssize_t)size;
}

uint32_t blocks_read(int fd, uint64_t sector, uint32_t count, void *to, bool *readable)
{
	uint32_t good = 0;

	if (read_all(fd, sector, count, to)) {
		memset(readable, true, count);
		return count;
	}
	for (uint32_t i = 0; i < count; i++) {
		char *block = (char *)to + (size_t)i * DMR_BLOCK_SIZE;

		readable[i] = read_all(fd, sector + (uint64_t)i * DMR_BLOCK_SECTORS, 1, block);
		if (!readable[i])
			memset(block, 0, DMR_BLOCK_SIZE);
		good += readable[i];
	}
	return good;
}

bool block_read(int fd, uint64_t sector, void *to)
{
	return read_all(fd, sector, 1, to);
}

bool block_write(int fd, uint64_t sector, const void *from)
{
	return pwrite(fd, from, DMR_BLOCK_SIZE, sector * DMR_SECTOR_SIZE) == DMR_BLOCK_SIZE;
}

bool blocks_flush(int fd)
{
	/* image files go through the page cache; block devices are opened with O_DIRECT */
	return !fsync(fd) && !posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}
