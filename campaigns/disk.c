// SPDX-License-Identifier: GPL-2.0-only
#include <err.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"
#include "truth.h"

#define PIECES 8 /* that a long write is torn into, at most */

static void *memory(size_t size)
{
	void *p = calloc(1, size ?: 1);

	if (!p)
		err(2, "memory");
	return p;
}

static void label_all(struct disk *d)
{
	for (uint64_t s = 0; s < d->sectors; s++)
		d->stable_label[s] = truth_label(d->stable + s * SECTOR_SIZE);
	memcpy(d->now_label, d->stable_label, d->sectors * sizeof(*d->now_label));
}

void disk_open(struct disk *d, const char *path, bool write_through)
{
	int image = open(path, O_RDONLY | O_CLOEXEC);
	struct stat info;
	size_t size;

	if (image < 0 || fstat(image, &info))
		err(2, "%s", path);
	size = info.st_size;
	*d = (struct disk){
		.path = path, .sectors = size / SECTOR_SIZE, .write_through = write_through};
	d->fd = memfd_create(path, MFD_CLOEXEC);
	if (d->fd < 0 || ftruncate(d->fd, size))
		err(2, "memory for %s", path);
	d->now = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd, 0);
	if (d->now == MAP_FAILED)
		err(2, "memory for %s", path);
	d->stable = memory(size);
	d->now_label = memory(d->sectors * sizeof(*d->now_label));
	d->stable_label = memory(d->sectors * sizeof(*d->stable_label));
	if (read(image, d->stable, size) != (ssize_t)size)
		err(2, "%s", path);
	close(image);
	memcpy(d->now, d->stable, size);
	label_all(d);
}

/* Puts [@from, @to), sectors of the write, into an image. */
static void apply(const struct write *w, uint64_t from, uint64_t to, char *image,
		  struct label *label)
{
	uint64_t start = w->req->offset / SECTOR_SIZE;

	memcpy(label + start + from, w->label + from, (to - from) * sizeof(*label));
	if (w->data)
		memcpy(image + (start + from) * SECTOR_SIZE, w->data + from * SECTOR_SIZE,
		       (to - from) * SECTOR_SIZE);
	else
		memset(image + (start + from) * SECTOR_SIZE, 0, (to - from) * SECTOR_SIZE);
}

static uint64_t sectors_of(const struct write *w)
{
	return w->req->length / SECTOR_SIZE;
}

static void make_stable(struct disk *d, const struct write *w)
{
	apply(w, 0, sectors_of(w), d->stable, d->stable_label);
	apply(w, 0, sectors_of(w), d->now, d->now_label);
	free(w->label);
}

void disk_receive(struct disk *d, const struct request *req, const char *data)
{
	struct write w = {.req = req, .data = data, .number = d->received};

	if (req->kind == RECORD_FLUSH || req->kind == RECORD_LOSS)
		return;
	if (req->offset % SECTOR_SIZE || req->length % SECTOR_SIZE ||
	    req->offset / SECTOR_SIZE + req->length / SECTOR_SIZE > d->sectors)
		errx(2, "the record has a write that is not on %s", d->path);
	d->received++;
	w.label = memory(sectors_of(&w) * sizeof(*w.label));
	for (uint64_t i = 0; data && i < sectors_of(&w); i++)
		w.label[i] = truth_label(data + i * SECTOR_SIZE);
	if (d->write_through) {
		make_stable(d, &w);
		return;
	}
	if (d->cached == d->room) {
		d->room = (d->room + 16) * 2;
		d->cache = realloc(d->cache, d->room * sizeof(*d->cache));
		if (!d->cache)
			err(2, "memory");
	}
	d->cache[d->cached++] = w;
}

static void flush(struct disk *d, uint64_t covers)
{
	size_t i;

	for (i = 0; i < d->cached && d->cache[i].number < covers; i++)
		make_stable(d, &d->cache[i]);
	d->cached -= i;
	memmove(d->cache, d->cache + i, d->cached * sizeof(*d->cache));
}

void disk_lose(struct disk *d, const uint64_t *numbers, size_t count)
{
	size_t kept = 0, gone = 0;

	for (size_t i = 0; i < d->cached; i++) {
		if (gone < count && d->cache[i].number == numbers[gone]) {
			free(d->cache[i].label);
			gone++;
		} else {
			d->cache[kept++] = d->cache[i];
		}
	}
	d->cached = kept;
}

void disk_complete(struct disk *d, const struct request *req)
{
	if (req->kind == RECORD_FLUSH)
		flush(d, req->covers);
	else if (req->fua && d->cached)
		d->cache[d->cached - 1].safe = true;
}

static bool happens_to(uint64_t *random, unsigned int of_ten)
{
	return random_next(random) % 10 < of_ten;
}

static void tear(struct disk *d, const struct write *w, uint64_t *random, unsigned int luck)
{
	uint64_t sectors = sectors_of(w), longest = (sectors + PIECES - 1) / PIECES, at, length;

	for (at = 0; at < sectors; at += length) {
		length = 1 + random_next(random) % (2 * longest - 1);
		if (length > sectors - at)
			length = sectors - at;
		if (happens_to(random, luck))
			apply(w, at, at + length, d->now, d->now_label);
	}
}

/*
 * How much survives is drawn once for the disk, and so is how much of that is torn: "nothing here, all
 * there" between two disks, and "torn wherever it was under way", come up as often as the states in
 * between.
 */
void disk_lose_power(struct disk *d, uint64_t *random)
{
	static const unsigned int lucks[] = {0, 1, 5, 9, 10}, tears[] = {0, 5, 5, 10};
	unsigned int luck = lucks[random_next(random) % 5], torn = tears[random_next(random) % 4];

	for (size_t i = 0; i < d->cached; i++) {
		const struct write *w = &d->cache[i];

		if (!w->safe && happens_to(random, torn))
			tear(d, w, random, luck);
		else if (w->safe || happens_to(random, luck))
			apply(w, 0, sectors_of(w), d->now, d->now_label);
	}
}

void disk_restore_range(struct disk *d, uint64_t sector, uint64_t count)
{
	memcpy(d->now + sector * SECTOR_SIZE, d->stable + sector * SECTOR_SIZE,
	       count * SECTOR_SIZE);
	memcpy(d->now_label + sector, d->stable_label + sector, count * sizeof(*d->now_label));
}

void disk_restore(struct disk *d)
{
	for (size_t i = 0; i < d->cached; i++)
		disk_restore_range(d, d->cache[i].req->offset / SECTOR_SIZE,
				   sectors_of(&d->cache[i]));
}
