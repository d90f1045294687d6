// SPDX-License-Identifier: GPL-2.0-only
/*
 * Metadata damaged in every way of the catalogue, alone and together, read and mended.
 *
 * corruptions [--seed N] [--count N] [--only N]
 *
 * What has to come of it is known from what was damaged: an instance of a block is good if its bytes
 * are those of a version that once was written there, and docs/format.md says what follows from those
 * that are good. Besides, every bit of one superblock and one table block is flipped, once in one copy
 * and once in all.
 *
 * The first case that breaks a promise is told, with the number that shows it again by --only, and the
 * exit status is 1. At the end what was done is told as a JSON object.
 */
#include <err.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "damage.h"
#include "expect.h"
#include "mend.h"
#include "rehearsal.h"
#include "truth.h"

#define CASES_PER_SET 500
#define BITS          (DMR_BLOCK_SIZE * 8)
#define NOW           1700000000 /* seconds since 1970: of repairs */

static struct {
	uint64_t seed, count, only;
} opt = {.count = 100000};

static struct history set, other;
static struct image image;
static uint64_t number; /* of the case */
static uint64_t verdicts[VERDICT_LOST + 1], torn;
static uint64_t inflicted[64]; /* by their numbers in the catalogue */
static char story[1024]; /* what was done to this one */

static __attribute__((format(printf, 1, 2))) bool broken(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\ncorruptions --seed %" PRIu64 " --%s %" PRIu64 ": spare of %llu sectors:%s\n",
	       opt.seed, number > opt.count ? "count" : "only", number > opt.count ? 0 : number,
	       set.layout.sectors, story);
	return false;
}

static void read_image(struct copies *c, const uint8_t *uuid)
{
	if (copies_read(c, image.fd, image.sectors, uuid))
		err(2, "memory");
}

/* Whatever nobody had to mend is as it was: all but superblocks and bad instances. */
static bool only_bad_was_written(const char *before, const struct expectation *e)
{
	size_t size = image.sectors * DMR_SECTOR_SIZE, from = 0;

	for (unsigned int copy = 0; copy < DMR_COPIES; copy++) {
		for (uint32_t index = 0; index < set.blocks; index++) {
			size_t place = image_place(&image, copy, index);

			if (index && e->instance[copy][index] == e->winner[index])
				continue;
			if (memcmp(before + from, image.bytes + from, place - from))
				return false;
			from = place + DMR_BLOCK_SIZE;
		}
	}
	return !memcmp(before + from, image.bytes + from, size - from);
}

static bool is_whole_now(const struct expectation *e)
{
	struct copies c;
	bool good;

	read_image(&c, set.uuid);
	good = c.verdict == VERDICT_CLEAN && copies_valid(&c) == DMR_COPIES &&
	       expect_table(e, &set, &c);
	copies_free(&c);
	return good;
}

/* The table as it was after any commit. */
static bool is_a_version(const struct copies *found, void *arg)
{
	struct expectation e;
	bool same = false;

	(void)arg;
	for (int version = 0; version < VERSIONS && !same; version++) {
		for (uint32_t index = 0; index < set.blocks; index++)
			e.winner[index] = version;
		same = expect_table(&e, &set, found);
	}
	return same;
}

static bool mend(struct copies *c, const struct expectation *e)
{
	size_t size = image.sectors * DMR_SECTOR_SIZE;
	struct disk spare = {
		.path = "the spare", .sectors = image.sectors, .fd = image.fd, .now = image.bytes};
	uint64_t random = opt.seed ^ number << 20;
	char *before = malloc(size);
	struct mend_result r;
	bool good;
	int error;

	if (!before)
		err(2, "memory");
	memcpy(before, image.bytes, size);
	/* else a write may bring back something newer, or hide what is left, by the luck of its sectors */
	if (e->current && !e->may_be_lost && !image.impossible)
		rehearsal_begin(&spare, c, set.uuid, is_a_version, NULL, &random);
	error = mend_copies(c, NULL, NOW, &r);
	torn += rehearsal_end(&good);
	if (!good)
		broken("not at every instant of mending");
	else if (error || r.failed)
		good = broken("cannot be mended: %s", strerror(-error));
	else if (!is_whole_now(e))
		good = broken("not whole after it was mended");
	else if (r.blocks != e->bad_tables)
		good = broken("%u table blocks were written, not %u", r.blocks, e->bad_tables);
	else if (!only_bad_was_written(before, e))
		good = broken("something was written over that was not bad");
	free(before);
	return good;
}

/* Whatever is found when nobody says which set is wanted is true of the set that it is of. */
static bool judge_any(void)
{
	const struct history *h = &set;
	struct expectation e;
	struct copies c;
	bool good = true;

	read_image(&c, NULL);
	if (c.verdict == VERDICT_CLEAN || c.verdict == VERDICT_REPAIRABLE) {
		if (memcmp(c.uuid, set.uuid, DMR_UUID_SIZE))
			h = &other;
		expect(&e, h, &image);
		good = e.unknown || (e.verdict != VERDICT_LOST && expect_table(&e, h, &c)) ||
		       broken("found %s, a table that never was", verdict_text(c.verdict));
	}
	copies_free(&c);
	return good;
}

static bool judge(void)
{
	struct expectation e;
	struct copies c;
	bool good = true;

	expect(&e, &set, &image);
	if (e.unknown)
		return true;
	read_image(&c, set.uuid);
	verdicts[c.verdict]++;
	if (e.verdict == VERDICT_LOST
		    ? c.verdict == VERDICT_CLEAN || c.verdict == VERDICT_REPAIRABLE
		    : c.verdict != e.verdict)
		good = (e.may_be_lost && c.verdict != VERDICT_CLEAN &&
			c.verdict != VERDICT_REPAIRABLE) ||
		       broken("found %s (%s), not %s", verdict_text(c.verdict),
			      dmr_fault_text(c.reason), verdict_text(e.verdict));
	else if (e.verdict != VERDICT_LOST && !expect_table(&e, &set, &c))
		good = broken("found %s, with another table", verdict_text(c.verdict));
	else if (e.verdict == VERDICT_REPAIRABLE)
		good = judge_any() && mend(&c, &e);
	else
		good = judge_any();
	copies_free(&c);
	return good;
}

static uint64_t draw_size(uint64_t *random)
{
	static const uint64_t sizes[] = {DMR_MIN_SECTORS,
					 DMR_MIN_SECTORS,
					 DMR_MIN_SECTORS,
					 DMR_MIN_SECTORS,
					 DMR_MIN_SECTORS,
					 DMR_MIN_SECTORS,
					 5001,
					 10240,
					 32768};

	return sizes[random_next(random) % (sizeof(sizes) / sizeof(*sizes))];
}

/* Those of a number; their spare has @size sectors, or what is drawn. */
static void new_sets(uint64_t which, uint64_t size)
{
	uint64_t random = opt.seed ^ which << 32;

	random_next(&random);
	size = size ?: draw_size(&random);
	history_begin(&set, size, &random);
	history_begin(&other, size, &random);
	image_begin(&image, &set);
}

static void forget_sets(void)
{
	image_end(&image);
	history_end(&set);
	history_end(&other);
}

static void inflict(const struct damage *d, uint64_t *random)
{
	size_t length = strlen(story);

	snprintf(story + length, sizeof(story) - length, " %s,", d->name);
	d->inflict(&image, &other, random);
	inflicted[d - catalogue]++;
}

/* One damage often, many seldom. */
static bool one_case(void)
{
	uint64_t random = opt.seed ^ number << 8;
	unsigned int most = 1 << random_next(&random) % 5, count;
	bool good;

	*story = '\0';
	for (count = 1 + random_next(&random) % most; count; count--)
		inflict(damage_draw(&random), &random);
	good = judge();
	image_restore(&image);
	return good;
}

/* In one copy it must be found and mended; in all there is nothing left to go by. */
static bool every_bit(uint32_t index, bool in_all)
{
	for (unsigned int bit = 0; bit < BITS; bit++) {
		unsigned int first = in_all ? 0 : bit % DMR_COPIES;

		number++;
		snprintf(story, sizeof(story), " bit %u of block %u", bit, index);
		for (unsigned int copy = first; copy < (in_all ? DMR_COPIES : first + 1); copy++) {
			uint64_t place = image_place(&image, copy, index) + bit / 8;
			char byte = image.bytes[place] ^ 1 << bit % 8;

			image_write(&image, place, &byte, 1);
		}
		if (!judge())
			return false;
		image_restore(&image);
	}
	return true;
}

static bool all_bits(void)
{
	bool good;

	new_sets(0, DMR_MIN_SECTORS);
	good = every_bit(0, false) && every_bit(1, false) && every_bit(0, true) &&
	       every_bit(1, true);
	forget_sets();
	return good;
}

static bool all_cases(void)
{
	uint64_t from = opt.only ?: 1, to = opt.only ?: opt.count;

	for (number = from; number <= to; number++) {
		if (number == from || number % CASES_PER_SET == 0)
			new_sets(number / CASES_PER_SET, 0);
		if (!one_case())
			return false;
		if (number == to || number % CASES_PER_SET == CASES_PER_SET - 1)
			forget_sets();
	}
	number--;
	return opt.only || all_bits();
}

static void put(json_t *object, const char *what, uint64_t count)
{
	if (json_object_set_new(object, what, json_integer(count)))
		errx(2, "memory");
}

static void summary(void)
{
	json_t *all = json_object(), *by_name = json_object();

	put(all, "corruptions", number);
	for (int v = 0; v <= VERDICT_LOST; v++)
		put(all, verdict_text(v), verdicts[v]);
	put(all, "while_mending", torn);
	for (unsigned int k = 0; k < catalogue_size; k++)
		put(by_name, catalogue[k].name, inflicted[k]);
	if (json_object_set_new(all, "catalogue", by_name))
		errx(2, "memory");
	json_dumpf(all, stdout, JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(all);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"seed", required_argument, NULL, 's'},
		{"count", required_argument, NULL, 'c'},
		{"only", required_argument, NULL, 'o'},
		{NULL, 0, NULL, 0},
	};
	bool good;

	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		uint64_t value = optarg ? strtoull(optarg, NULL, 10) : 0;

		if (c == 's')
			opt.seed = value;
		else if (c == 'c')
			opt.count = value;
		else if (c == 'o')
			opt.only = value;
		else
			exit(2);
	}
	good = all_cases();
	summary();
	return good ? 0 : 1;
}
