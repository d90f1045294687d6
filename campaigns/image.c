// SPDX-License-Identifier: GPL-2.0-only
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image.h"

static uint64_t size_of(const struct image *i)
{
	return i->history->layout.sectors * DMR_SECTOR_SIZE;
}

uint64_t image_place(const struct image *i, unsigned int copy, uint32_t index)
{
	return dmr_block_sector(&i->history->layout, copy, index) * DMR_SECTOR_SIZE;
}

/* The replacement sectors hold something that is to be left alone. */
static void fill(struct image *i)
{
	const struct history *h = i->history;

	memset(i->whole, 0xa5, size_of(i));
	for (unsigned int copy = 0; copy < DMR_COPIES; copy++)
		memcpy(i->whole + image_place(i, copy, 0), history_in_copy(h, copy, 0),
		       (size_t)h->blocks * DMR_BLOCK_SIZE);
	memcpy(i->bytes, i->whole, size_of(i));
}

void image_begin(struct image *i, const struct history *h)
{
	*i = (struct image){.history = h, .sectors = h->layout.sectors};
	i->whole = malloc(size_of(i));
	i->fd = memfd_create("spare", MFD_CLOEXEC);
	if (!i->whole || i->fd < 0 || ftruncate(i->fd, size_of(i)))
		err(2, "memory");
	i->bytes = mmap(NULL, IMAGE_MOST(size_of(i)), PROT_READ | PROT_WRITE, MAP_SHARED, i->fd, 0);
	if (i->bytes == MAP_FAILED)
		err(2, "memory");
	fill(i);
}

void image_end(struct image *i)
{
	munmap(i->bytes, IMAGE_MOST(size_of(i)));
	close(i->fd);
	free(i->whole);
}

void image_write(struct image *i, uint64_t offset, const void *from, uint64_t length)
{
	uint64_t end = i->sectors * DMR_SECTOR_SIZE;

	if (offset >= end)
		return;
	if (length > end - offset)
		length = end - offset;
	if (from)
		memmove(i->bytes + offset, from, length);
	else
		memset(i->bytes + offset, 0, length);
	if (i->touches == MAX_TOUCHED)
		errx(2, "more than %u changes of an image", MAX_TOUCHED);
	i->touched[i->touches].offset = offset;
	i->touched[i->touches++].length = length;
}

void image_resize(struct image *i, uint64_t sectors)
{
	if (ftruncate(i->fd, sectors * DMR_SECTOR_SIZE))
		err(2, "memory");
	i->sectors = sectors;
}

static void restore_range(struct image *i, uint64_t offset, uint64_t length)
{
	if (offset >= size_of(i))
		return;
	if (length > size_of(i) - offset)
		length = size_of(i) - offset;
	memcpy(i->bytes + offset, i->whole + offset, length);
}

void image_restore(struct image *i)
{
	const struct history *h = i->history;

	if (i->sectors != h->layout.sectors) {
		uint64_t was = i->sectors * DMR_SECTOR_SIZE;

		image_resize(i, h->layout.sectors);
		if (was < size_of(i))
			restore_range(i, was, size_of(i) - was);
	}
	for (unsigned int n = 0; n < i->touches; n++)
		restore_range(i, i->touched[n].offset, i->touched[n].length);
	i->touches = 0;
	i->impossible = false;
	for (unsigned int copy = 0; copy < DMR_COPIES; copy++)
		restore_range(i, image_place(i, copy, 0), (uint64_t)h->blocks * DMR_BLOCK_SIZE);
}

static bool is_there(const struct image *i, unsigned int copy, uint32_t index, const void *block)
{
	uint64_t place = image_place(i, copy, index);

	return place + DMR_BLOCK_SIZE <= i->sectors * DMR_SECTOR_SIZE &&
	       !memcmp(i->bytes + place, block, DMR_BLOCK_SIZE);
}

bool image_has_twin(const struct image *i, const struct history *h, unsigned int copy,
		    uint32_t index)
{
	const char *twin = history_twin(h, index);

	return twin && is_there(i, copy, index, twin);
}

bool image_has_more(const struct image *i, const struct history *h)
{
	bool found = false;

	for (unsigned int copy = 0; copy < DMR_COPIES && history_has_behind(h); copy++)
		found |= is_there(i, copy, h->blocks, &h->behind[1]);
	return found;
}

int image_version(const struct image *i, const struct history *h, unsigned int copy, uint32_t index)
{
	for (int v = VERSIONS - 1; v >= 0; v--)
		if (is_there(i, copy, index, history_block(h, v, index)))
			return v;
	if (index && is_there(i, copy, index, history_block(h, VERSIONS, index)))
		return VERSIONS;
	return -1;
}
