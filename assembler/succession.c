// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "succession.h"

#define MAX_HOPS 8 /* spares that a set had one after the other and that are all still there */

bool spare_in_state(const struct found_spare *s, enum dmr_state state)
{
	return s->super && le32_to_cpu(s->super->state) == state;
}

bool spare_succeeds(const struct found_spare *s, const struct found_spare *old)
{
	const struct dmr_super *mine = s->super, *theirs = old->super;

	if (!mine || !theirs || uuid_compare(s->uuid, old->uuid))
		return false;
	if (spare_in_state(old, DMR_STATE_SUPERSEDED))
		return !uuid_compare(theirs->peer_uuid, mine->spare_uuid);
	return !spare_in_state(s, DMR_STATE_SUPERSEDED) && !uuid_is_null(mine->peer_uuid) &&
	       !uuid_compare(mine->peer_uuid, theirs->spare_uuid);
}

const struct found_spare *spare_replaced(const struct match_input *in, const struct found_spare *s)
{
	for (size_t i = 0; i < in->spare_count; i++) {
		if (spare_in_state(&in->spares[i], DMR_STATE_SUPERSEDED) &&
		    spare_succeeds(s, &in->spares[i]))
			return &in->spares[i];
	}
	return NULL;
}

bool spare_out_of_office(const struct match_input *in, const struct found_spare *s)
{
	return spare_in_state(s, DMR_STATE_SUPERSEDED) ||
	       (spare_in_state(s, DMR_STATE_INCOMING) && !spare_replaced(in, s));
}

static bool in_office(const struct found_spare *s)
{
	return spare_in_state(s, DMR_STATE_CLEAN) || spare_in_state(s, DMR_STATE_MIGRATING);
}

const struct found_spare *spare_heir(const struct found_spare *a, const struct found_spare *b)
{
	uint64_t mine, theirs;

	if (!in_office(a) || !in_office(b) || !(spare_succeeds(a, b) || spare_succeeds(b, a)))
		return NULL;
	mine = le64_to_cpu(a->super->header.generation);
	theirs = le64_to_cpu(b->super->header.generation);
	if (mine == theirs)
		return NULL;
	return mine > theirs ? a : b;
}

/* spare_named(), by way of @hops others at most. */
static bool named(const struct match_input *in, const struct found_spare *s,
		  const struct named_set *set, unsigned int hops)
{
	if (tags_match(&set->spare, s->device))
		return true;
	for (size_t i = 0; hops && i < in->spare_count; i++) {
		const struct found_spare *old = &in->spares[i];

		if (spare_in_state(old, DMR_STATE_SUPERSEDED) && spare_succeeds(s, old) &&
		    named(in, old, set, hops - 1))
			return true;
	}
	return false;
}

bool spare_named(const struct match_input *in, const struct found_spare *s,
		 const struct named_set *set)
{
	return named(in, s, set, MAX_HOPS);
}
