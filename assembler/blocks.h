/* SPDX-License-Identifier: GPL-2.0-only */
/* Transfer of metadata blocks between memory and a device. */
#ifndef BLOCKS_H
#define BLOCKS_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

/* Memory for @count blocks, aligned for O_DIRECT; NULL if there is none. */
void *blocks_alloc(size_t count);

/*
 * Read @count blocks from @sector: all at once, and one by one if that fails. Each readable[i] says
 * whether block i could be read; the others are zero. Returns how many could.
 */
uint32_t blocks_read(int fd, uint64_t sector, uint32_t count, void *to, bool *readable);

/* Read one block. */
bool block_read(int fd, uint64_t sector, void *to);

/* Write one block. Nothing is stable before blocks_flush(). */
bool block_write(int fd, uint64_t sector, const void *from);

/* Make everything written stable, and the next reads come from the device. */
bool blocks_flush(int fd);

#endif
