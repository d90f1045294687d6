// SPDX-License-Identifier: GPL-2.0-only
#include "log.h"
#include "rivals.h"
#include "succession.h"

void spare_compare(const struct found_spare *s, struct evidence *e)
{
	evidence_compare(&s->super->spare, le64_to_cpu(s->super->spare_sectors), s->device, e);
}

static uint64_t generation_of(const struct found_spare *s)
{
	return le64_to_cpu(s->super->header.generation);
}

/*
 * Of two spares that both are where they were recorded the newer stands; not so if it can be carried to another
 * machine, which makes of it what it likes.
 */
static bool is_newer(const struct found_spare *s, const struct found_spare *than)
{
	return generation_of(s) > generation_of(than) &&
	       (!s->device->removable || than->device->removable);
}

bool spare_doubtful(const struct match_input *in, const struct found_spare *s)
{
	const struct named_set *set = policy_find(in->policy, s->uuid);

	return *s->signature && !(set && set->spare.count && spare_named(in, s, set));
}

/* It is where it was recorded, or on a device that tells nothing of itself, nor was anything recorded. */
static bool is_in_place(const struct found_spare *s)
{
	struct evidence e;

	spare_compare(s, &e);
	return !evidence_cloned(&e) && !evidence_elsewhere(&e);
}

static bool is_sound(const struct match_input *in, const struct found_spare *s)
{
	return s->super && s->verdict != VERDICT_LOST && is_in_place(s) && !spare_doubtful(in, s) &&
	       !spare_in_state(s, DMR_STATE_SUPERSEDED) && !spare_out_of_office(in, s);
}

const struct found_spare *spare_beyond_doubt(const struct match_input *in,
					     const struct found_spare *s)
{
	for (size_t i = 0; spare_doubtful(in, s) && i < in->spare_count; i++) {
		const struct found_spare *own = &in->spares[i];

		if (!uuid_compare(own->uuid, s->uuid) && is_sound(in, own) &&
		    (!own->device->removable || s->device->removable) &&
		    /* it knows the other by its UUID, which nobody else does: that is its successor */
		    (!s->super || spare_heir(own, s) != s))
			return own;
	}
	return NULL;
}

bool spare_stands(const struct match_input *in, struct decision *d, const struct named_set *set)
{
	const struct dmr_super *theirs;
	const struct found_spare *heir;
	struct evidence me, other;
	enum decision_kind kind;

	spare_compare(d->spare, &me);
	for (size_t i = 0; i < in->spare_count; i++) {
		const struct found_spare *s = &in->spares[i];
		const char *path = printable(s->device->path);

		theirs = s->super;
		if (s == d->spare || uuid_compare(s->uuid, d->uuid) ||
		    (set && set->spare.count && !spare_named(in, s, set)) ||
		    spare_beyond_doubt(in, s))
			continue;
		if (!theirs && !evidence_strong(&me)) {
			decision_make(d, DECIDE_CONFLICT,
				      "%s holds the remains of the same set as %s", path,
				      printable(d->spare->device->path));
			return false;
		}
		if (!theirs || spare_out_of_office(in, s))
			continue;
		spare_compare(s, &other);
		heir = spare_heir(d->spare, s);
		if (heir == d->spare && evidence_strong(&me))
			continue;
		if (heir) {
			kind = heir == s && evidence_strong(&other) ? DECIDE_SKIP : DECIDE_CONFLICT;
			decision_make(d, kind,
				      "both %s and %s claim to be its spare, one in place of the "
				      "other; %s was written last",
				      printable(d->spare->device->path), path,
				      printable(heir->device->path));
			return false;
		}
		if (evidence_strong(&other) && !evidence_strong(&me)) {
			decision_make(d, DECIDE_SKIP, "%s is a copy; the set's own spare is %s",
				      printable(d->spare->device->path), path);
			return false;
		}
		if (evidence_strong(&other) != evidence_strong(&me))
			continue;
		if (evidence_strong(&me) && is_newer(d->spare, s))
			continue;
		if (evidence_strong(&me) && is_newer(s, d->spare))
			decision_make(d, DECIDE_SKIP, "%s is older than %s, the set's other spare",
				      printable(d->spare->device->path), path);
		else
			decision_make(d, DECIDE_CONFLICT, "both %s and %s claim to be its spare",
				      printable(d->spare->device->path), path);
		return false;
	}
	return true;
}

bool spare_is_itself(struct decision *d)
{
	const char *path = printable(d->spare->device->path);

	if (d->named || is_in_place(d->spare))
		return true;
	decision_make(d, DECIDE_CONFLICT,
		      "%s may be a copy of its spare, which was on another disk; name the set "
		      "in " POLICY_CONFIG " to use it, or zero %s if it is no spare",
		      path, path);
	return false;
}

const struct found_spare *spare_better(const struct match_input *in, const struct decision *d)
{
	struct evidence e;

	for (size_t i = 0; i < in->spare_count; i++) {
		const struct found_spare *s = &in->spares[i];

		if (uuid_compare(s->uuid, d->uuid) || !s->super || s->verdict == VERDICT_LOST ||
		    spare_out_of_office(in, s) ||
		    (d->spare->super && generation_of(d->spare) > generation_of(s)))
			continue;
		spare_compare(s, &e);
		if (evidence_strong(&e))
			return s;
	}
	return NULL;
}
