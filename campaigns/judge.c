// SPDX-License-Identifier: GPL-2.0-only
#include <err.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "judge.h"
#include "match.h"
#include "mend.h"
#include "rehearsal.h"
#include "truth.h"

#define ALONE_EVERY 8 /* states: that many times as expensive */
#define LEFT_EVERY  4 /* states */
#define NOW         1700000000 /* seconds since 1970: of repairs, which must not differ from run to run */

/* What was found on a spare, and who it is by what it says itself. */
struct candidate {
	struct disk *disk;
	struct device device;
	struct copies copies;
};

/* One state, while it is looked at. */
struct state {
	struct candidate candidate[MAX_SPARES];
	struct found_spare found[MAX_SPARES];
	size_t spares;
	struct device device[MAX_SPARES + 1]; /* with the main */
	size_t devices;
	struct decision *decision;
	int decisions;
};

static __attribute__((format(printf, 1, 2))) bool broken(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	return false;
}

static void read_copies(struct copies *c, const struct disk *d)
{
	if (copies_read(c, d->fd, d->sectors, NULL))
		err(2, "memory");
}

/* A device that is what @id says of it, if anything is known. */
static struct device *add_device(struct state *s, const struct disk *disk,
				 const struct dmr_identity *id)
{
	struct device *d = &s->device[s->devices++];

	*d = (struct device){
		.sectors = disk->sectors,
		.block = DMR_SECTOR_SIZE,
		.dev = s->devices,
		.disk = s->devices,
	};
	snprintf(d->path, sizeof(d->path), "%s", disk->path);
	if (id) {
		snprintf(d->wwid, sizeof(d->wwid), "%s", id->wwid);
		snprintf(d->serial, sizeof(d->serial), "%s", id->serial);
	}
	return d;
}

/* Those of the spares that are there: bit per spare. */
static void look_at_spares(struct judge *j, unsigned int there, struct state *s)
{
	const struct dmr_super *super = NULL;

	for (unsigned int i = 0; i < j->spares; i++) {
		struct candidate *c = &s->candidate[i];
		struct found_spare *f = &s->found[s->spares];

		if (!(there & 1u << i))
			continue;
		c->disk = j->spare[i];
		read_copies(&c->copies, c->disk);
		if (c->copies.verdict == VERDICT_NONE)
			continue;
		f->super = copies_super(&c->copies);
		f->device = add_device(s, c->disk, f->super ? &f->super->spare : NULL);
		f->verdict = c->copies.verdict;
		f->reason = c->copies.reason;
		f->valid_copies = copies_valid(&c->copies);
		memcpy(f->uuid, c->copies.uuid, DMR_UUID_SIZE);
		super = f->super ?: super;
		s->spares++;
	}
	add_device(s, j->main, super ? &super->main : NULL);
}

/* A spare that the target has formatted tells nothing of its main: the config names that. */
static void name_main(struct policy *p, const struct dmr_super *super, const struct disk *main)
{
	char uuid[UUID_STR_LEN], line[sizeof("set  main=path:") + UUID_STR_LEN + PATH_MAX];

	if (super && !super->main.wwid[0] && !super->main.serial[0]) {
		uuid_unparse(super->header.uuid, uuid);
		snprintf(line, sizeof(line), "set %s main=path:%s", uuid, main->path);
		policy_config(p, "the judge", line);
	}
}

static void decide(const struct judge *j, struct state *s)
{
	struct policy policy;
	struct match_input in = {
		.policy = &policy,
		.devices = s->device,
		.device_count = s->devices,
		.spares = s->found,
		.spare_count = s->spares,
	};

	policy_init(&policy);
	for (size_t i = 0; i < s->spares; i++)
		name_main(&policy, s->found[i].super, j->main);
	s->decisions = match_decide(&in, &s->decision);
	if (s->decisions < 0)
		err(2, "memory");
	policy_free(&policy);
}

static void forget(struct judge *j, struct state *s)
{
	for (unsigned int i = 0; i < j->spares; i++)
		copies_free(&s->candidate[i].copies);
	free(s->decision);
}

static struct candidate *candidate_of(struct state *s, const struct found_spare *f)
{
	for (unsigned int i = 0; i < MAX_SPARES; i++)
		if (copies_super(&s->candidate[i].copies) == f->super)
			return &s->candidate[i];
	errx(2, "a decision on a spare that there is not");
}

/* The decision to activate something; NULL if there is none, or @more than one. */
static const struct decision *find_decision(const struct state *s, bool *more)
{
	const struct decision *found = NULL;

	*more = false;
	for (int i = 0; i < s->decisions; i++) {
		if (s->decision[i].kind != DECIDE_ACTIVATE)
			continue;
		*more = found;
		found = &s->decision[i];
	}
	return *more ? NULL : found;
}

/* A sector of the set, and where it was looked for. */
struct place {
	const struct disk *disk;
	uint64_t at;
	uint32_t sector;
};

static bool range_holds(struct place *p, uint64_t end)
{
	for (; p->sector < end; p->sector++, p->at++)
		if (!truth_allows(p->sector, p->disk->now_label[p->at]))
			return false;
	return true;
}

/* What the set shows is what the journal allows; if not @p says where. */
static bool contents_hold(const struct judge *j, const struct disk *spare, const struct copies *c,
			  struct place *p)
{
	uint64_t start, end, length = le64_to_cpu(copies_super(c)->length);

	p->sector = 0;
	for (size_t i = 0; i <= c->extents; i++) {
		const struct dmr_entry *e = &c->extent[i];

		start = i < c->extents ? le64_to_cpu(e->main) : length;
		p->disk = j->main;
		p->at = p->sector;
		if (!range_holds(p, start))
			return false;
		if (i == c->extents)
			break;
		end = start + le32_to_cpu(e->sectors);
		p->disk = spare;
		p->at = le64_to_cpu(e->spare);
		if (le32_to_cpu(e->flags) & DMR_ENTRY_NO_DATA || !range_holds(p, end))
			return false;
	}
	return true;
}

static bool say_contents(const struct place *p)
{
	truth_explain(p->disk->now + p->at * DMR_SECTOR_SIZE, p->sector);
	return broken("it was looked for at sector %llu of %s", (unsigned long long)p->at,
		      p->disk->path);
}

/* A set on one of the spares, by whatever table is elected of it. */
struct on_spare {
	const struct judge *judge;
	const struct disk *spare;
};

static bool shows_what_it_may(const struct copies *found, void *arg)
{
	const struct on_spare *on = arg;
	struct place p;

	return contents_hold(on->judge, on->spare, found, &p);
}

static bool are_enough(struct judge *j, struct candidate *spare, uint64_t *random)
{
	struct disk *d = spare->disk;
	unsigned int alone;

	if (!j->made || !j->alone || random_next(random) % ALONE_EVERY)
		return true;
	j->looked_alone++;
	alone = count_alone(d->fd, d->sectors, &spare->copies.layout, NULL, shows_what_it_may,
			    &(struct on_spare){j, d}, j->alone);
	return alone >= j->alone ||
	       broken("only %u copies of %s would do alone", alone, spare->disk->path);
}

/* Mends it, and finds it whole with the table that was elected before. */
static bool mend(struct judge *j, struct candidate *c, const struct dmr_super *replaced,
		 uint64_t *random)
{
	struct on_spare on = {j, c->disk};
	struct mend_result r;
	struct copies after;
	bool good;
	int error;

	rehearsal_begin(c->disk, &c->copies, NULL, shows_what_it_may, &on, random);
	error = mend_copies(&c->copies, replaced, NOW, &r);
	j->torn += rehearsal_end(&good);
	if (!good)
		return false;
	if (error || r.failed)
		return broken("%s cannot be mended: %s", c->disk->path, strerror(-error));
	j->mended++;
	read_copies(&after, c->disk);
	good = after.verdict == VERDICT_CLEAN && copies_valid(&after) == DMR_COPIES &&
	       same_table(&c->copies, &after);
	if (!good)
		broken("%s is %s after it was mended, with %zu extents of %zu", c->disk->path,
		       verdict_text(after.verdict), after.extents, c->copies.extents);
	copies_free(&after);
	return good;
}

/* Whoever asks after it was mended is told of the same spare, and nothing is left to be done. */
static bool decided_again(struct judge *j, const struct disk *spare)
{
	const struct decision *d;
	struct state s = {0};
	bool good, more;

	look_at_spares(j, ~0u, &s);
	decide(j, &s);
	d = find_decision(&s, &more);
	good = d && !d->replaced && d->spare->verdict == VERDICT_CLEAN &&
	       candidate_of(&s, d->spare)->disk == spare;
	forget(j, &s);
	return good || broken("after it was mended %s is not what is used", spare->path);
}

static bool mend_as_decided(struct judge *j, struct state *s, const struct decision *d,
			    uint64_t *random)
{
	struct candidate *spare = candidate_of(s, d->spare), *old;
	const struct dmr_super *replaced = NULL;

	if (d->replaced) {
		old = candidate_of(s, d->replaced);
		if (old->copies.verdict == VERDICT_REPAIRABLE && !mend(j, old, NULL, random))
			return false;
		replaced = copies_super(&old->copies);
	} else if (spare->copies.verdict == VERDICT_CLEAN) {
		return true;
	}
	return mend(j, spare, replaced, random) && decided_again(j, spare->disk);
}

static bool judge_decision(struct judge *j, struct state *s, const struct decision *d,
			   uint64_t *random)
{
	struct candidate *spare = candidate_of(s, d->spare);
	struct place p;

	if (!contents_hold(j, spare->disk, &spare->copies, &p))
		return say_contents(&p);
	if (j->to_mend && !d->replaced && spare->copies.verdict == VERDICT_REPAIRABLE)
		j->to_mend(spare->disk);
	return are_enough(j, spare, random) && mend_as_decided(j, s, d, random);
}

/* Where only one of the spares is left it is not used, or shows what it may. An old table would not. */
static bool judge_left(struct judge *j, unsigned int left)
{
	const struct decision *d;
	struct state s = {0};
	struct place p;
	bool good = true, more;

	look_at_spares(j, 1u << left, &s);
	decide(j, &s);
	d = find_decision(&s, &more);
	if (d && !contents_hold(j, j->spare[left], &s.candidate[left].copies, &p)) {
		say_contents(&p);
		good = broken("%s was the only spare left", j->spare[left]->path);
	}
	forget(j, &s);
	return good;
}

static bool judge_each_left(struct judge *j, uint64_t *random)
{
	bool good = true;

	if (j->spares > 1 && !(random_next(random) % LEFT_EVERY))
		for (unsigned int i = 0; i < j->spares && good; i++)
			good = judge_left(j, i);
	return good;
}

bool judge_state(struct judge *j, uint64_t *random)
{
	const struct decision *d;
	struct state s = {0};
	bool good, more;

	if (!judge_each_left(j, random))
		return false;
	look_at_spares(j, ~0u, &s);
	decide(j, &s);
	d = find_decision(&s, &more);
	if (d) {
		good = judge_decision(j, &s, d, random);
	} else if (more) {
		good = broken("more than one spare would be used");
	} else {
		good = !j->made || broken("no spare would be used: %s",
					  s.decisions ? s.decision[0].reason : "none is found");
		j->unmade++;
	}
	forget(j, &s);
	return good;
}

void judge_restore(struct judge *j)
{
	struct dmr_layout l;

	for (unsigned int i = 0; i < j->spares; i++) {
		struct disk *d = j->spare[i];

		disk_restore(d);
		if (dmr_layout_init(&l, d->sectors) != DMR_OK)
			errx(2, "%s is too small for a spare", d->path);
		for (unsigned int copy = 0; copy < DMR_COPIES; copy++)
			disk_restore_range(d, l.copy_sector[copy], dmr_copy_sectors(&l));
	}
}
