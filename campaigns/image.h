/* SPDX-License-Identifier: GPL-2.0-only */
/* The image of a spare that is damaged, and made good again. */
#ifndef IMAGE_H
#define IMAGE_H

#include "history.h"

#define MAX_TOUCHED 64

struct image {
	const struct history *history;
	int fd;
	uint64_t sectors; /* of the device as it is now */
	char *bytes; /* in memory: as long as it was, and as it may become */
	char *whole; /* as it was */
	bool impossible; /* somewhere there was, or is, what no commit writes */
	struct {
		uint64_t offset, length;
	} touched[MAX_TOUCHED];
	unsigned int touches;
};

#define IMAGE_MOST(sectors) ((sectors)*2) /* that it grows to */

/* A spare with the newest version of a history, which stays the caller's. Exits if it can't. */
void image_begin(struct image *i, const struct history *h);
void image_end(struct image *i);

/* Changes bytes, as far as there are any: @from may be NULL for zeroes. */
void image_write(struct image *i, uint64_t offset, const void *from, uint64_t length);

/* Makes the device shorter, or longer up to IMAGE_MOST(). */
void image_resize(struct image *i, uint64_t sectors);

/* As it was at first, also where its metadata was mended. */
void image_restore(struct image *i);

/* Byte where block @index of a copy starts. */
uint64_t image_place(const struct image *i, unsigned int copy, uint32_t index);

/* The newest version in a history, also VERSIONS, that an instance of a block is, byte for byte; or -1. */
int image_version(const struct image *i, const struct history *h, unsigned int copy,
		  uint32_t index);

/* Is an instance of a block the twin of the current version? */
bool image_has_twin(const struct image *i, const struct history *h, unsigned int copy,
		    uint32_t index);

/* Does a block of a later commit stand behind the table, in any copy? */
bool image_has_more(const struct image *i, const struct history *h);

#endif
