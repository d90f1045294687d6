// SPDX-License-Identifier: GPL-2.0-only
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "blocks.h"
#include "rehearsal.h"
#include "truth.h"

#define ALONE_EVERY 2 /* times that something is mended: several times as expensive */
#define ROOM        1024 /* writes between two flushes; see WAVE_BLOCKS in mend.c */

bool __wrap_block_write(int fd, uint64_t sector, const void *from);
bool __real_block_write(int fd, uint64_t sector, const void *from);
bool __wrap_blocks_flush(int fd);
bool __real_blocks_flush(int fd);

static struct {
	const struct disk *spare; /* NULL: nothing is mended now */
	const struct copies *copies;
	const uint8_t *uuid;
	does_alone *does; /* NULL: none has to */
	void *arg;
	uint64_t *random;
	int fd; /* what is stable, while there is somebody who mends */
	uint64_t sectors; /* of it; 0: there is none yet */
	unsigned int states;
	bool good;
	unsigned int writes;
	struct {
		uint64_t sector;
		char data[DMR_BLOCK_SIZE];
	} write[ROOM]; /* since the last flush */
} stage = {.fd = -1};

/* Takes the metadata of the spare over; nobody asks for the rest of it. */
static void set_stage(void)
{
	const struct dmr_layout *l = &stage.copies->layout;
	size_t size = dmr_copy_sectors(l) * DMR_SECTOR_SIZE;

	if (stage.sectors != stage.spare->sectors) {
		if (stage.fd >= 0)
			close(stage.fd);
		stage.sectors = stage.spare->sectors;
		stage.fd = memfd_create("rehearsal", MFD_CLOEXEC);
		if (stage.fd < 0 || ftruncate(stage.fd, stage.sectors * DMR_SECTOR_SIZE))
			err(2, "memory");
	}
	for (unsigned int i = 0; i < DMR_COPIES; i++) {
		off_t at = l->copy_sector[i] * DMR_SECTOR_SIZE;

		if (pwrite(stage.fd, stage.spare->now + at, size, at) != (ssize_t)size)
			err(2, "memory");
	}
}

static bool so_many_do_alone(unsigned int many)
{
	return count_alone(stage.fd, stage.sectors, &stage.copies->layout, stage.uuid, stage.does,
			   stage.arg, many) == many;
}

void rehearsal_begin(const struct disk *spare, const struct copies *copies, const uint8_t *uuid,
		     does_alone *does, void *arg, uint64_t *random)
{
	stage.spare = spare;
	stage.copies = copies;
	stage.uuid = uuid;
	stage.arg = arg;
	stage.random = random;
	stage.states = 0;
	stage.good = true;
	stage.writes = 0;
	set_stage();
	stage.does = does;
	if (random_next(random) % ALONE_EVERY || !so_many_do_alone(2))
		stage.does = NULL;
}

static void put(uint64_t sector, const void *data, size_t sectors)
{
	size_t size = sectors * DMR_SECTOR_SIZE;

	if (pwrite(stage.fd, data, size, sector * DMR_SECTOR_SIZE) != (ssize_t)size)
		err(2, "memory");
}

bool same_table(const struct copies *a, const struct copies *b)
{
	return a->extents == b->extents &&
	       (!a->extents || !memcmp(a->extent, b->extent, a->extents * sizeof(*a->extent)));
}

static bool leads_to_the_table(void)
{
	struct copies found;
	bool same;

	if (copies_read(&found, stage.fd, stage.sectors, stage.uuid))
		err(2, "memory");
	same = (found.verdict == VERDICT_CLEAN || found.verdict == VERDICT_REPAIRABLE) &&
	       same_table(&found, stage.copies);
	if (!same)
		printf("%s would be %s (%s) if the power went while it is mended\n",
		       stage.spare->path, verdict_text(found.verdict),
		       dmr_fault_text(found.reason));
	copies_free(&found);
	return same;
}

static bool one_does_alone(void)
{
	if (so_many_do_alone(1))
		return true;
	printf("no copy of %s would do alone if the power went while it is mended\n",
	       stage.spare->path);
	return false;
}

/* Any part of what was written since the last flush may be there. */
static void lose_power(void)
{
	unsigned int luck = random_next(stage.random) % 5, tears = random_next(stage.random) % 3;

	for (unsigned int i = 0; i < stage.writes; i++) {
		bool torn = random_next(stage.random) % 2 < tears;
		unsigned int step = torn ? 1 : DMR_BLOCK_SECTORS;

		for (unsigned int s = 0; s < DMR_BLOCK_SECTORS; s += step)
			if (random_next(stage.random) % 4 < luck)
				put(stage.write[i].sector + s,
				    stage.write[i].data + s * DMR_SECTOR_SIZE, step);
	}
	stage.states++;
	stage.good &= leads_to_the_table();
	if (stage.does)
		stage.good &= one_does_alone();
}

unsigned int rehearsal_end(bool *good)
{
	bool played = stage.spare;

	/* what was not flushed at the end */
	if (played && stage.writes)
		lose_power();
	stage.spare = NULL;
	*good = !played || stage.good;
	return played ? stage.states : 0;
}

bool __wrap_block_write(int fd, uint64_t sector, const void *from)
{
	if (stage.spare) {
		if (stage.writes == ROOM)
			errx(2, "more than %u writes without a flush", ROOM);
		stage.write[stage.writes].sector = sector;
		memcpy(stage.write[stage.writes++].data, from, DMR_BLOCK_SIZE);
	}
	return __real_block_write(fd, sector, from);
}

bool __wrap_blocks_flush(int fd)
{
	if (stage.spare && stage.writes) {
		lose_power();
		for (unsigned int i = 0; i < stage.writes; i++)
			put(stage.write[i].sector, stage.write[i].data, DMR_BLOCK_SECTORS);
		stage.writes = 0;
	}
	return __real_blocks_flush(fd);
}
