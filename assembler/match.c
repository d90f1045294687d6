// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "match.h"
#include "rivals.h"
#include "succession.h"

const char *decision_text(enum decision_kind kind)
{
	static const char *const text[] = {"activate", "active",  "skip",
					   "conflict", "missing", "damaged"};

	return text[kind];
}

static bool identifies_by_size_only(const struct dmr_identity *id)
{
	return !*id->wwid && !*id->serial && !*id->partuuid && !*id->ptuuid && !*id->fsuuid;
}

void decision_make(struct decision *d, enum decision_kind kind, const char *format, ...)
{
	va_list args;

	d->kind = kind;
	va_start(args, format);
	vsnprintf(d->reason, sizeof(d->reason), format, args);
	va_end(args);
}

/* Could @device be the main of the set on @d->spare? Fills @e. */
static bool eligible(const struct match_input *in, const struct decision *d,
		     const struct named_set *set, const struct device *device, struct evidence *e)
{
	const struct dmr_super *s = d->spare->super;
	bool tagged = set && set->main.count;

	for (size_t i = 0; i < in->spare_count; i++) {
		const struct found_spare *spare = &in->spares[i];

		if (device_overlap(device, spare->device) &&
		    (spare == d->spare || !spare_doubtful(in, spare)))
			return false;
	}
	evidence_compare(&s->main, le64_to_cpu(s->length), device, e);
	if (!e->possible || device->block > le32_to_cpu(s->main_block))
		return false;
	if (tagged)
		return tags_match(&set->main, device);
	if (evidence_neighbour(e))
		return false;
	if (!d->named)
		return e->confidence > 0 && evidence_recognises(e);
	return evidence_recognises(e) ||
	       (identifies_by_size_only(&s->main) && e->says[FACT_SIZE] == SAYS_YES);
}

/* How good a candidate is; candidates of a worse class don't compete with better ones. */
enum class {
	CLASS_NONE,
	CLASS_WEAK, /* below the threshold: for named sets only */
	CLASS_GOOD, /* at or above it */
	CLASS_STRONG, /* the hardware is the recorded one, too */
};

static enum class class_of(const struct match_input *in, const struct evidence *e) {
	if (e->confidence < (int)in->policy->threshold) return CLASS_WEAK;
	return evidence_strong(e) ? CLASS_STRONG : CLASS_GOOD;
}

/* Find the main of a set; a decision is made only if there isn't exactly one that it could be. */
static bool find_main(const struct match_input *in, struct decision *d, const struct named_set *set)
{
	const struct device *rival = NULL;
	enum class best = CLASS_NONE;
	struct evidence e;

	for (size_t i = 0; i < in->device_count; i++) {
		const struct device *device = &in->devices[i];
		enum class class;

		if (!eligible(in, d, set, device, &e))
			continue;
		class = class_of(in, &e);
		if (class < best)
			continue;
		rival = class == best ? device : NULL;
		if (class == best && e.confidence <= d->evidence.confidence)
			continue;
		if (rival)
			rival = d->main;
		best = class;
		d->main = device;
		d->evidence = e;
	}
	if (best == CLASS_WEAK && !d->named)
		rival = NULL; /* nobody asks for either */
	if (best == CLASS_NONE)
		decision_make(d, DECIDE_MISSING,
			      "its main is not there: no device looks like the recorded one");
	else if (rival)
		decision_make(d, DECIDE_CONFLICT, "both %s and %s could be its main",
			      printable(d->main->path), printable(rival->path));
	else if (best == CLASS_WEAK && !d->named)
		decision_make(d, DECIDE_MISSING,
			      "%s resembles its main with a confidence of %d only, below the "
			      "threshold of "
			      "%u; name the set in " POLICY_CONFIG " to use it",
			      printable(d->main->path), d->evidence.confidence,
			      in->policy->threshold);
	else
		return true;
	return false;
}

static const struct active_set *find_active(const struct match_input *in, const uint8_t *uuid)
{
	for (size_t i = 0; i < in->active_count; i++) {
		if (!uuid_compare(in->active[i].uuid, uuid))
			return &in->active[i];
	}
	return NULL;
}

static bool is_wanted(const struct match_input *in, const char *name, const uint8_t *uuid)
{
	char text[UUID_STR_LEN];

	uuid_unparse_lower(uuid, text);
	for (size_t i = 0; i < in->wanted_count; i++) {
		if (!strcmp(in->wanted[i], name) || !strcasecmp(in->wanted[i], text))
			return true;
	}
	return false;
}

static void decide_on_lost(const struct match_input *in, struct decision *d)
{
	const struct found_spare *better = spare_better(in, d);
	const char *path = printable(d->spare->device->path);

	if (better)
		decision_make(
			d, DECIDE_SKIP,
			"the metadata on %s cannot be used (%s), but the set's own spare is %s",
			path, dmr_fault_text(d->spare->reason), printable(better->device->path));
	else
		decision_make(
			d, DECIDE_DAMAGED,
			"the metadata on %s cannot be used (%s); 'dmremap examine %s' shows it",
			path, dmr_fault_text(d->spare->reason), path);
}

static void decide_on_incoming(const struct match_input *in, struct decision *d)
{
	const char *path = printable(d->spare->device->path);

	for (size_t i = 0; i < in->spare_count; i++) {
		if (!spare_succeeds(d->spare, &in->spares[i]))
			continue;
		decision_make(d, DECIDE_SKIP,
			      "spare %s was being filled from %s, which is still the set's own",
			      path, printable(in->spares[i].device->path));
		return;
	}
	decision_make(
		d, DECIDE_SKIP,
		"spare %s was being filled, and the one before it, which alone knows whether that "
		"ended, is not there",
		path);
}

/* Which of its spares is right is open. Its main is still no disk like any other, and is masked. */
static void find_contested(const struct match_input *in, struct decision *d,
			   const struct named_set *set)
{
	struct decision uncontested = *d;

	if (d->kind != DECIDE_CONFLICT || !find_main(in, &uncontested, set))
		return;
	d->main = uncontested.main;
	d->evidence = uncontested.evidence;
}

/* Reasons not to touch this spare that have nothing to do with its main. Returns true if it may go on. */
static bool spare_usable(const struct match_input *in, struct decision *d,
			 const struct named_set *set)
{
	const struct device *device = d->spare->device;
	const char *path = printable(device->path);
	const struct found_spare *own = spare_beyond_doubt(in, d->spare);

	if (own)
		decision_make(d, DECIDE_SKIP,
			      "%s holds %s and what looks like the set's spare, which is %s", path,
			      printable(d->spare->signature), printable(own->device->path));
	else if (spare_in_state(d->spare, DMR_STATE_SUPERSEDED))
		decision_make(d, DECIDE_SKIP, "spare %s was replaced by another one", path);
	else if (spare_out_of_office(in, d->spare))
		decide_on_incoming(in, d);
	else if (!d->named && !policy_auto(in->policy))
		decision_make(d, DECIDE_SKIP, "%s",
			      policy_mentions(in->policy, d->uuid)
				      ? "the kernel command line names other sets, and not this one"
				      : "nobody named it, and sets nobody named are not activated");
	else if (!d->named && device->removable)
		decision_make(d, DECIDE_SKIP, "nobody named it, and its spare %s is removable",
			      path);
	else if (!d->named && *d->spare->signature)
		/* mending would write over what may be somebody's data by now */
		decision_make(d, DECIDE_CONFLICT,
			      "spare %s also holds %s; name the set in " POLICY_CONFIG
			      ", or zero %s if it is no spare any more",
			      path, printable(d->spare->signature), path);
	else if (d->spare->verdict == VERDICT_LOST)
		decide_on_lost(in, d);
	else if (set && set->spare.count && !spare_named(in, d->spare, set))
		decision_make(d, DECIDE_SKIP,
			      "spare %s is not the one that " POLICY_CONFIG " names", path);
	else if (*device->in_use)
		decision_make(d, DECIDE_SKIP, "spare %s is %s", path, printable(device->in_use));
	else
		return true;
	return false;
}

/*
 * True if @device is taken for a clone of a member that is late, or gone. With an old copy of the main, or of
 * the spare, sectors of one would go with those of another time on the other.
 */
static bool is_clone(const struct match_input *in, struct decision *d, const struct evidence *e,
		     const struct tags *tags, const struct device *device, const char *member)
{
	if (!in->policy->no_clones || !evidence_elsewhere(e) || (tags && tags_tell_clones(tags)))
		return false;
	decision_make(d, DECIDE_MISSING,
		      "its %s is not there, but %s, which may be a clone of it; name that one's "
		      "serial or "
		      "wwid in " POLICY_CONFIG " if it is in its place",
		      member, printable(device->path));
	return true;
}

static void decide_on_active(const struct match_input *in, struct decision *d,
			     const struct active_set *active)
{
	snprintf(d->name, sizeof(d->name), "%s", active->name);
	if (d->spare && active->spare && d->spare->device->dev != active->spare) {
		decision_make(d, DECIDE_SKIP,
			      "it is active as /dev/mapper/%s, with another spare than %s",
			      printable(active->name), printable(d->spare->device->path));
		return;
	}
	decision_make(d, DECIDE_ACTIVE, "it is active as /dev/mapper/%s", printable(active->name));
	for (size_t i = 0; i < in->device_count; i++) {
		if (in->devices[i].is_file || in->devices[i].dev != active->main)
			continue;
		d->main = &in->devices[i];
		if (d->spare && d->spare->super)
			evidence_compare(&d->spare->super->main,
					 le64_to_cpu(d->spare->super->length), d->main,
					 &d->evidence);
	}
}

static void decide_on_spare(const struct match_input *in, struct decision *d)
{
	const struct named_set *set = policy_find(in->policy, d->uuid);
	const struct active_set *active = find_active(in, d->uuid);
	struct evidence spare;

	if (active) {
		decide_on_active(in, d, active);
		return;
	}
	if (!spare_usable(in, d, set))
		return;
	if (!spare_stands(in, d, set) || !spare_is_itself(d)) {
		find_contested(in, d, set);
		return;
	}
	if (!find_main(in, d, set))
		return;
	spare_compare(d->spare, &spare);
	d->strong = evidence_strong(&d->evidence) && evidence_strong(&spare) &&
		    !spare_doubtful(in, d->spare);
	if (is_clone(in, d, &spare, set ? &set->spare : NULL, d->spare->device, "spare") ||
	    is_clone(in, d, &d->evidence, set ? &set->main : NULL, d->main, "main"))
		return;
	if (*d->main->in_use)
		decision_make(d, DECIDE_SKIP, "main %s is %s", printable(d->main->path),
			      printable(d->main->in_use));
	else if (!d->named && d->main->removable)
		decision_make(d, DECIDE_SKIP, "nobody named it, and its main %s is removable",
			      printable(d->main->path));
	else
		decision_make(d, DECIDE_ACTIVATE,
			      "main %s, confidence %d, and spare %s, %u of 5 copies whole",
			      printable(d->main->path), d->evidence.confidence,
			      printable(d->spare->device->path), d->spare->valid_copies);
}

static void set_name(struct decision *d, const struct named_set *set, const struct dmr_super *super)
{
	char uuid[UUID_STR_LEN];

	uuid_unparse_lower(d->uuid, uuid);
	if (set && *set->name)
		snprintf(d->name, sizeof(d->name), "%s", set->name);
	else if (super && *super->name)
		snprintf(d->name, sizeof(d->name), "%.127s", super->name);
	else
		snprintf(d->name, sizeof(d->name), "dmremap-%.8s", uuid);
}

/*
 * Two sets for one main or of one name: one that was named, or else one whose hardware is the
 * recorded one, wins if it is alone.
 */
static int precedence(const struct decision *d)
{
	return d->named * 2 + evidence_strong(&d->evidence);
}

/* What @a and @b can't both have, in @text; false if they can both be activated. */
static bool shared_claim(const struct decision *a, const struct decision *b, char *text,
			 size_t size)
{
	if (device_overlap(a->main, b->main))
		snprintf(text, size, "main %s", printable(a->main->path));
	else if (!strcmp(a->name, b->name))
		snprintf(text, size, "name %s", a->name);
	else
		return false;
	return true;
}

static void settle_claims(struct decision *d, size_t count)
{
	int *rank = calloc(count + 1, sizeof(*rank)); /* 1 + precedence of those to be activated */
	char claim[300];

	for (size_t i = 0; rank && i < count; i++)
		rank[i] = d[i].kind == DECIDE_ACTIVATE ? 1 + precedence(&d[i]) : 0;
	for (size_t i = 0; rank && i < count; i++) {
		for (size_t k = 0; rank[i] && k < count; k++) {
			if (k == i || rank[k] < rank[i] ||
			    !shared_claim(&d[i], &d[k], claim, sizeof(claim)))
				continue;
			decision_make(
				&d[i], rank[k] == rank[i] ? DECIDE_CONFLICT : DECIDE_SKIP,
				"the set on spare %s claims the %s as well as the one on %s; ask "
				"for one by its UUID, or name it in " POLICY_CONFIG,
				printable(d[k].spare->device->path), claim,
				printable(d[i].spare->device->path));
		}
	}
	free(rank);
}

/* Named by the user if he asked for anything, else by policy. */
static bool is_named(const struct match_input *in, const char *name, const uint8_t *uuid)
{
	return in->wanted_count ? is_wanted(in, name, uuid) : policy_find(in->policy, uuid) != NULL;
}

/* Sets that were named and of which there is no spare. */
static int add_missing(const struct match_input *in, struct decision *list, int n)
{
	char uuid[UUID_STR_LEN];
	int found = n;

	for (size_t i = 0; i < in->policy->set_count; i++) {
		const struct named_set *set = &in->policy->sets[i];
		struct decision *d = &list[n];
		bool seen = false;

		for (int k = 0; k < found; k++)
			seen |= !uuid_compare(list[k].uuid, set->uuid);
		memset(d, 0, sizeof(*d));
		uuid_copy(d->uuid, set->uuid);
		uuid_unparse_lower(d->uuid, uuid);
		set_name(d, set, NULL);
		d->named = is_named(in, d->name, d->uuid);
		if (seen || !d->named)
			continue;
		if (find_active(in, d->uuid))
			decide_on_spare(in, d);
		else
			decision_make(d, DECIDE_MISSING,
				      "its spare is not there: nothing holds metadata of set %s",
				      uuid);
		n++;
	}
	return n;
}

/* A spare that is passed over is no loss if the set is active by another one. */
static void find_needed(struct decision *list, int n)
{
	for (int i = 0; i < n; i++) {
		list[i].needed = list[i].named;
		for (int k = 0; list[i].kind == DECIDE_SKIP && k < n; k++) {
			if (!uuid_compare(list[i].uuid, list[k].uuid) &&
			    (list[k].kind == DECIDE_ACTIVE || list[k].kind == DECIDE_ACTIVATE))
				list[i].needed = false;
		}
	}
}

int match_decide(const struct match_input *in, struct decision **decisions)
{
	struct decision *list = calloc(in->spare_count + in->policy->set_count + 1, sizeof(*list));
	int n = 0;

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < in->spare_count; i++) {
		struct decision *d = &list[n];

		memset(d, 0, sizeof(*d));
		d->spare = &in->spares[i];
		d->replaced = spare_in_state(d->spare, DMR_STATE_INCOMING)
				      ? spare_replaced(in, d->spare)
				      : NULL;
		uuid_copy(d->uuid, d->spare->uuid);
		set_name(d, policy_find(in->policy, d->uuid), d->spare->super);
		d->named = is_named(in, d->name, d->uuid);
		if (in->wanted_count && !d->named)
			continue;
		decide_on_spare(in, d);
		n++;
	}
	n = add_missing(in, list, n);
	settle_claims(list, n);
	find_needed(list, n);
	*decisions = list;
	return n;
}
