/* SPDX-License-Identifier: GPL-2.0-only */
/* Sets of sectors, as ranges. Pure. */
#ifndef RANGES_H
#define RANGES_H

#include <stddef.h>
#include <stdint.h>

/* No range reaches beyond this, so that no sum overflows: the sectors of 2^63 bytes. */
#define RANGES_END (UINT64_MAX / 2 / 512 + 1)

struct range {
	uint64_t start, sectors;
};

/* Sorted, neither touching nor overlapping, but between ranges_add() and ranges_merge(). */
struct ranges {
	struct range *range;
	size_t count, room;
};

/* Append one. Returns 0 or -ENOMEM. */
int ranges_add(struct ranges *r, uint64_t start, uint64_t sectors);

/* Sort what was added; ranges that touch or overlap become one. */
void ranges_merge(struct ranges *r);

/* Widen each range to whole units of @unit sectors. */
void ranges_round(struct ranges *r, uint64_t unit);

/* "1000-1007" or "1000" for people, in @text. */
#define RANGE_TEXT 48
const char *range_text(const struct range *r, char text[RANGE_TEXT]);

uint64_t ranges_sectors(const struct ranges *r);

/* The first sector after the last range; 0 if there is none. */
uint64_t ranges_end(const struct ranges *r);

/*
 * Fill @rest, which is empty, with what is in @r and not in @other. Returns 0 or -ENOMEM; release
 * @rest in any case.
 */
int ranges_without(const struct ranges *r, const struct ranges *other, struct ranges *rest);

void ranges_free(struct ranges *r);

#endif
