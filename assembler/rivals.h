/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Several devices say that they are the spare of a set, or one that may be a copy of it: which of them stands.
 * Pure. That a set moves from one to the next is told by succession.h.
 */
#ifndef RIVALS_H
#define RIVALS_H

#include "match.h"

/* How far @s is on the device that it has recorded. */
void spare_compare(const struct found_spare *s, struct evidence *e);

/*
 * True if the device was made into something else, or is something else of whose content somebody wants us to believe
 * that it is a spare: who may write files there can fill the places of all copies but the first with what he likes.
 * Where the config names the device as the spare, it is one.
 */
bool spare_doubtful(const struct match_input *in, const struct found_spare *s);

/*
 * A spare of the same set that is beyond doubt, where it was recorded and in office, beside which doubtful @s counts for
 * nothing, unless that is its successor; NULL if there is none.
 */
const struct found_spare *spare_beyond_doubt(const struct match_input *in,
					     const struct found_spare *s);

/*
 * Another spare of the same set, if the config does not rule it out: the one that is where it was recorded stands, of
 * two of these the newer. Returns false, with a decision made, if @d's isn't the one. @set is NULL if nobody named it.
 */
bool spare_stands(const struct match_input *in, struct decision *d, const struct named_set *set);

/*
 * On other hardware than was recorded it may be from an earlier time: sectors that moved since would be stale.
 * Returns false, with a decision made, if that is so and nobody named the set.
 */
bool spare_is_itself(struct decision *d);

/*
 * The spare of a set whose metadata on @d's spare is lost: whole, where it was recorded, and written last as far as
 * can be told. NULL if there is none.
 */
const struct found_spare *spare_better(const struct match_input *in, const struct decision *d);

#endif
