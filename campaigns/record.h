/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A record: what all disks of a guest received, in one order.
 *
 * tests-vm/harness/record.py makes it, a folder of the disks' images as they were first, 0.img and
 * so on, and of "operations": headers, each with its data behind it. Numbers are in the byte order
 * of the machine.
 */
#ifndef RECORD_H
#define RECORD_H

#include <stddef.h>
#include <stdint.h>

enum record_kind {
	RECORD_WRITE,
	RECORD_ZEROES, /* written, or discarded: what is read then is zeroes */
	RECORD_FLUSH,
	RECORD_MARK, /* of the harness: its data is a word */
	RECORD_LOSS, /* a flush failed; its data are the numbers of writes that are gone, 64 bits each */
};

struct request {
	uint8_t kind; /* enum record_kind */
	uint8_t disk; /* its number */
	uint8_t fua; /* stable once it is done */
	uint8_t reserved;
	uint32_t length; /* bytes */
	uint64_t offset; /* bytes */
	/* FLUSH: makes stable the first so many writes that the disk received */
	uint64_t covers;
};

struct record {
	const char *bytes; /* of all operations */
	size_t size;
	size_t at; /* of the next one */
};

/* Exits if it can't. */
void record_open(struct record *r, const char *folder);

/* The next operation, and its data, or NULL if it has none. NULL at the end. */
const struct request *record_next(struct record *r, const void **data);

#endif
