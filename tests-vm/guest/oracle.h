/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What every sector of a device may hold, and how that is known: oracle.c's model.
 *
 * It is made of events, the beginnings and ends of operations. They are in the journal before
 * anything comes of them, so the model can be made again from it.
 */
#ifndef ORACLE_H
#define ORACLE_H

#include <err.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR    512u
#define MAGIC     0x656c6361726f6d64ull
#define MOST      (1u << 18) /* operations there is memory for */
#define GARBAGE   (~0u) /* a version that nobody wrote */
#define UNDER_WAY (-1)
#define AT_ONCE   256 /* operations at most */

enum kind { READ, WRITE, ZEROES, DISCARD, FLUSH };
enum flag { FUA = 1, NOWAIT = 2, SEGMENTED = 4 };
enum phase { BEGINS, ENDED, SAW };

static const char *const kind_name[] = {"read", "write", "zeroes", "discard", "flush"};

static struct {
	uint64_t seed, length, block, count;
	unsigned int jobs;
	bool after_cut, unsettled, discards, overlaps, losses;
	unsigned int address_grain, length_grain;
	const char *device, *journal;
} opt = {.block = SECTOR, .jobs = 4, .count = 1000};

static uint64_t draw(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* The data */

/* Every sector written says which sector it is and which operation, its version, put it there. */
union sector {
	struct {
		uint64_t magic, seed, version, sector;
	} says;
	uint64_t words[SECTOR / sizeof(uint64_t)];
};

static void fill(union sector *s, uint32_t version, uint32_t sector)
{
	uint64_t state = opt.seed ^ ((uint64_t)version << 32) ^ sector, word = draw(&state);

	for (size_t i = 0; i < SECTOR / sizeof(uint64_t); i++)
		s->words[i] = word + i * 0x9e3779b97f4a7c15ull;
	s->says.magic = MAGIC;
	s->says.seed = opt.seed;
	s->says.version = version;
	s->says.sector = sector;
}

/* Zeroes are version 0. */
static uint32_t version_of(const union sector *found, uint32_t sector)
{
	union sector wanted = {.words = {0}};
	uint32_t version = 0;

	if (found->says.magic) {
		version = found->says.version;
		fill(&wanted, version, sector);
	}
	return memcmp(found, &wanted, SECTOR) ? GARBAGE : version;
}

/* The model */

struct event {
	uint32_t number; /* of the operation, in the order in which they began, from 1 */
	uint32_t start, count; /* sectors */
	uint8_t phase, kind, flags, job;
	int32_t result; /* ENDED: 0 or an errno. SAW: the version */
};

/* A version is there, or what an operation after `since` has left. */
struct known {
	uint32_t version;
	uint32_t since;
	uint32_t at; /* the time from which on that was known */
};

struct operation {
	struct event is;
	uint32_t began, ended; /* times are numbers of events */
	uint32_t oldest; /* of those that were changing its sectors when it began, and itself */
	bool doubtful; /* it may have ended before somebody was told of a loss, see lost() */
	struct known *stable; /* of each sector when it began; see keep_stable() */
};

static struct {
	struct sector_state {
		struct known now, stable;
		uint32_t touched; /* the last operation that might have changed it */
		uint32_t zeroed; /* the last one that might have zeroed it */
	} * sectors;
	struct operation *operations;
	uint32_t last, time;
	uint32_t changing[AT_ONCE], changing_count; /* operations under way that change something */
	uint32_t flushing[AT_ONCE], flushing_count; /* that flush, where something may be lost by that */
} model;

static uint32_t sectors_of_device(void)
{
	return opt.length / SECTOR;
}

static bool touches(const struct event *e, uint32_t sector)
{
	return sector - e->start < e->count;
}

/* Whether a version may be found, after what is known and whatever came later. */
static bool may_hold(uint32_t sector, uint32_t version, const struct known *known)
{
	const struct event *e;

	if (version == known->version)
		return true;
	if (!version)
		return model.sectors[sector].zeroed > known->since;
	if (version <= known->since || version > model.last)
		return false;
	e = &model.operations[version].is;
	return e->kind == WRITE && touches(e, sector);
}

/* With losses something may be gone that a flush under way was for, before anybody was told. */
static const struct known *what_is_known(uint32_t sector)
{
	const struct operation *first = NULL;

	if (!opt.after_cut && !opt.losses)
		return &model.sectors[sector].now;
	for (uint32_t i = 0; i < model.flushing_count; i++) {
		const struct operation *op = &model.operations[model.flushing[i]];

		if (!first || op->began < first->began)
			first = op;
	}
	return first ? &first->stable[sector] : &model.sectors[sector].stable;
}

static bool changes(const struct event *e)
{
	return e->kind == WRITE || e->kind == ZEROES || e->kind == DISCARD;
}

/* Whoever writes to the same sectors meanwhile may be the last, whichever began first. */
static uint32_t oldest_at_once(const struct event *e)
{
	uint32_t oldest = e->number;

	for (uint32_t i = 0; i < model.changing_count; i++) {
		const struct event *other = &model.operations[model.changing[i]].is;

		if (other->start < e->start + e->count && e->start < other->start + other->count &&
		    other->number < oldest)
			oldest = other->number;
	}
	return oldest;
}

static void no_longer_changing(uint32_t number)
{
	for (uint32_t i = 0; i < model.changing_count; i++)
		if (model.changing[i] == number)
			model.changing[i] = model.changing[--model.changing_count];
}

/* With losses: what flushes, and so may fail and have something lost, keeps what was stable when it began. */
static bool may_lose(const struct event *e)
{
	return opt.losses && (e->kind == FLUSH || (e->kind == WRITE && e->flags & FUA));
}

static void keep_stable(uint32_t number)
{
	struct known *kept = malloc(sectors_of_device() * sizeof(*kept));

	if (!kept || model.flushing_count == AT_ONCE)
		errx(2, "more than %u flushes at once, or no memory", AT_ONCE);
	for (uint32_t i = 0; i < sectors_of_device(); i++)
		kept[i] = model.sectors[i].stable;
	model.operations[number].stable = kept;
	model.flushing[model.flushing_count++] = number;
}

static void no_longer_flushing(uint32_t number)
{
	free(model.operations[number].stable);
	model.operations[number].stable = NULL;
	for (uint32_t i = 0; i < model.flushing_count; i++)
		if (model.flushing[i] == number)
			model.flushing[i] = model.flushing[--model.flushing_count];
}

/*
 * Somebody was told that a flush has failed: what is not stable may be gone, and no later flush brings it back. It may
 * have been gone for as long as that flush was under way; another one that came meanwhile was not for it. And what
 * seems to be under way has perhaps ended before, and only its job did not get to say so.
 */
static void lost(const struct operation *flush)
{
	const size_t size = sectors_of_device() * sizeof(*flush->stable);

	for (uint32_t i = 0; i < sectors_of_device(); i++)
		model.sectors[i].now = model.sectors[i].stable = flush->stable[i];
	for (uint32_t i = 0; i < model.flushing_count; i++) {
		const struct operation *other = &model.operations[model.flushing[i]];

		if (other->began > flush->began)
			memcpy(other->stable, flush->stable, size);
	}
	for (uint32_t i = 0; i < model.changing_count; i++)
		model.operations[model.changing[i]].doubtful = true;
}

static void begins(const struct event *e)
{
	struct operation *op = &model.operations[e->number];

	*op = (struct operation){.is = *e, .began = model.time};
	op->is.result = UNDER_WAY;
	model.last = e->number;
	if (may_lose(e))
		keep_stable(e->number);
	if (!changes(e))
		return;
	op->oldest = oldest_at_once(e);
	if (model.changing_count == AT_ONCE)
		errx(2, "more than %u operations at once", AT_ONCE);
	model.changing[model.changing_count++] = e->number;
	for (uint32_t s = e->start; s < e->start + e->count; s++) {
		model.sectors[s].touched = e->number;
		if (e->kind != WRITE)
			model.sectors[s].zeroed = e->number;
	}
}

static void flushed(const struct operation *flush)
{
	for (uint32_t i = 0; i < sectors_of_device(); i++) {
		struct sector_state *s = &model.sectors[i];

		if (s->now.at < flush->began)
			s->stable = s->now;
	}
}

static void ended(const struct event *e)
{
	struct operation *op = &model.operations[e->number];

	op->is.result = e->result;
	op->ended = model.time;
	no_longer_changing(e->number);
	if (e->result && may_lose(e))
		lost(op);
	if (may_lose(e))
		no_longer_flushing(e->number);
	if (e->result)
		return;
	if (e->kind == FLUSH)
		flushed(op);
	if (e->kind != WRITE && e->kind != ZEROES)
		return;
	if (op->doubtful && !(e->flags & FUA))
		return;
	for (uint32_t i = e->start; i < e->start + e->count; i++) {
		struct sector_state *s = &model.sectors[i];

		s->now = (struct known){.version = e->kind == WRITE ? e->number : 0,
					.since = op->oldest < e->number ? op->oldest - 1 : e->number,
					.at = model.time};
		if (e->flags & FUA)
			s->stable = s->now;
	}
}

/* What could have been one thing or another was read: it stays that. */
static void saw(const struct event *e)
{
	for (uint32_t i = e->start; i < e->start + e->count; i++) {
		struct sector_state *s = &model.sectors[i];

		s->now =
			(struct known){.version = e->result, .since = s->touched, .at = model.time};
	}
}

static void happens(const struct event *e)
{
	model.time++;
	if (e->phase == BEGINS)
		begins(e);
	else if (e->phase == ENDED)
		ended(e);
	else
		saw(e);
}

static void new_model(void)
{
	model.sectors = calloc(sectors_of_device(), sizeof(*model.sectors));
	model.operations = calloc(MOST, sizeof(*model.operations));
	if (!model.sectors || !model.operations)
		err(2, "memory");
}

/* What is told of a violation */

static void print_operation(const struct operation *op)
{
	const struct event *e = &op->is;

	printf("  %u: job %u, %s %u+%u%s%s%s, from %u to %u: ", e->number, e->job,
	       kind_name[e->kind], e->start, e->count, e->flags & FUA ? " FUA" : "",
	       e->flags & NOWAIT ? " NOWAIT" : "", e->flags & SEGMENTED ? " segmented" : "",
	       op->began, op->ended);
	puts(e->result == UNDER_WAY ? "under way" : e->result ? strerror(e->result) : "done");
}

static void print_history(uint32_t sector)
{
	for (uint32_t i = 1; i <= model.last; i++)
		if (touches(&model.operations[i].is, sector))
			print_operation(&model.operations[i]);
}

static void print_found(const union sector *found, uint32_t sector, uint32_t version,
			const struct known *known)
{
	if (version != GARBAGE) {
		printf("version %u", version);
	} else if (found->says.magic == MAGIC && found->says.seed == opt.seed) {
		union sector wanted;

		fill(&wanted, found->says.version, found->says.sector);
		printf("version %" PRIu64 " of sector %" PRIu64 "%s", found->says.version,
		       found->says.sector, memcmp(found, &wanted, SECTOR) ? ", damaged" : "");
	} else {
		printf("nothing ever written, %016" PRIx64 " %016" PRIx64, found->words[0],
		       found->words[SECTOR / sizeof(uint64_t) - 1]);
	}
	printf(", not %u", known->version);
	if (model.sectors[sector].touched > known->since)
		printf(" or what came after operation %u", known->since);
	putchar('\n');
}

static void print_violation(const union sector *found, uint32_t sector, uint32_t version,
			    const struct known *known)
{
	printf("seed %" PRIu64 ", time %u, sector %u: found ", opt.seed, model.time, sector);
	print_found(found, sector, version, known);
	print_history(sector);
}

/* The journal */

struct page {
	uint64_t magic, seed;
	uint32_t page, count; /* its number; of its events */
	struct event events[(SECTOR - 24) / sizeof(struct event)];
};

_Static_assert(sizeof(struct page) <= SECTOR, "a page is a sector");

/* Has happen what is on a page. False if it is not the one of this number. */
static bool page_happens(const struct page *p, uint32_t number)
{
	if (p->magic != MAGIC || p->seed != opt.seed || p->page != number)
		return false;
	for (unsigned int i = 0; i < p->count; i++)
		happens(&p->events[i]);
	return true;
}

#endif
