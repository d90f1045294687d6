// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hostile lists of bad sectors. Whatever is understood keeps the promises that moving relies on.
 * The first byte of the input chooses the block size and the types of areas; the rest is the list.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "badlist.h"

static void check_ranges(const struct ranges *r, uint64_t limit)
{
	for (size_t i = 0; i < r->count; i++) {
		const struct range *range = &r->range[i];

		assert(range->sectors && range->start < limit &&
		       range->sectors <= limit - range->start);
		assert(!i || range->start > range[-1].start + range[-1].sectors);
	}
}

static void check(struct badlist *l)
{
	struct ranges rest = {0}, none = {0};
	uint64_t sectors = ranges_sectors(&l->bad);

	assert(l->end <= RANGES_END);
	assert(l->kind != BADLIST_EMPTY || (!l->bad.count && !l->end));
	check_ranges(&l->bad, l->end);
	assert(!ranges_without(&l->bad, &none, &rest) && ranges_sectors(&rest) == sectors);
	assert(!ranges_without(&l->bad, &rest, &none) && !none.count);
	ranges_free(&rest);
	ranges_round(&l->bad, 8);
	check_ranges(&l->bad, RANGES_END + 8);
	assert(ranges_sectors(&l->bad) >= sectors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const types[] = {"-", "-/*", "?", "?*/-+"};
	struct badlist_options o;
	struct badlist l;
	char *text;
	int err;

	if (!size)
		return 0;
	o.block_bytes = 512u << (data[0] & 15);
	o.types = types[data[0] >> 4 & 3];
	text = malloc(size);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	err = badlist_parse(&l, text, size - 1, &o);
	assert(!err || (err == -EINVAL && *l.error));
	if (!err)
		check(&l);
	badlist_free(&l);
	free(text);
	return 0;
}
