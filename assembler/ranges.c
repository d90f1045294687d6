// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ranges.h"

static uint64_t end_of(const struct range *r)
{
	return r->start + r->sectors;
}

int ranges_add(struct ranges *r, uint64_t start, uint64_t sectors)
{
	struct range *last = r->count ? &r->range[r->count - 1] : NULL, *more;
	size_t room = r->room ? 2 * r->room : 16;

	/* lists come sorted as a rule, one block a line: a bad stretch of them takes the room of one */
	if (last && start == end_of(last)) {
		last->sectors += sectors;
		return 0;
	}
	if (r->count == r->room) {
		more = reallocarray(r->range, room, sizeof(*more));
		if (!more)
			return -ENOMEM;
		r->range = more;
		r->room = room;
	}
	r->range[r->count++] = (struct range){.start = start, .sectors = sectors};
	return 0;
}

static int by_start(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

void ranges_merge(struct ranges *r)
{
	size_t n = 0;

	if (r->count)
		qsort(r->range, r->count, sizeof(*r->range), by_start);
	for (size_t i = 0; i < r->count; i++) {
		struct range *next = &r->range[i], *last = n ? &r->range[n - 1] : NULL;

		if (!next->sectors)
			continue;
		if (!last || next->start > end_of(last))
			r->range[n++] = *next;
		else if (end_of(next) > end_of(last))
			last->sectors = end_of(next) - last->start;
	}
	r->count = n;
}

void ranges_round(struct ranges *r, uint64_t unit)
{
	for (size_t i = 0; i < r->count; i++) {
		struct range *range = &r->range[i];
		uint64_t end = end_of(range);

		range->start -= range->start % unit;
		range->sectors = (end + unit - 1) / unit * unit - range->start;
	}
	ranges_merge(r);
}

const char *range_text(const struct range *r, char text[RANGE_TEXT])
{
	int n = snprintf(text, RANGE_TEXT, "%" PRIu64, r->start);

	if (r->sectors > 1)
		snprintf(text + n, RANGE_TEXT - n, "-%" PRIu64, end_of(r) - 1);
	return text;
}

uint64_t ranges_sectors(const struct ranges *r)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < r->count; i++)
		sum += r->range[i].sectors;
	return sum;
}

uint64_t ranges_end(const struct ranges *r)
{
	return r->count ? end_of(&r->range[r->count - 1]) : 0;
}

int ranges_without(const struct ranges *r, const struct ranges *other, struct ranges *rest)
{
	size_t k = 0;
	int err = 0;

	for (size_t i = 0; i < r->count && !err; i++) {
		uint64_t start = r->range[i].start, end = end_of(&r->range[i]);

		while (k < other->count && end_of(&other->range[k]) <= start)
			k++;
		/* the last of @other that is looked at may reach into the next of @r */
		for (size_t j = k; j < other->count && other->range[j].start < end && !err; j++) {
			if (other->range[j].start > start)
				err = ranges_add(rest, start, other->range[j].start - start);
			start = end_of(&other->range[j]);
		}
		if (start < end && !err)
			err = ranges_add(rest, start, end - start);
	}
	return err;
}

void ranges_free(struct ranges *r)
{
	free(r->range);
	*r = (struct ranges){0};
}
