/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A set moves from one spare to the next: which of those found are its spare no more, or not yet, by what
 * their superblocks say of each other. Pure. docs/format.md, "Moving to another spare".
 */
#ifndef SUCCESSION_H
#define SUCCESSION_H

#include "match.h"

bool spare_in_state(const struct found_spare *s, enum dmr_state state);

/* True if @old says that @s took its place, or @s that it was to. */
bool spare_succeeds(const struct found_spare *s, const struct found_spare *old);

/* The spare that says that @s took its place; NULL if there is none. */
const struct found_spare *spare_replaced(const struct match_input *in, const struct found_spare *s);

/* No spare of a set any more, or not yet: one that was being filled has to hear from the one before it. */
bool spare_out_of_office(const struct match_input *in, const struct found_spare *s);

/*
 * Both claim to be it, and one of them says that it took over from the other: that could not be told, or
 * the one that took over could not be told that it did not succeed. The one that was written last; NULL
 * if it is not so.
 */
const struct found_spare *spare_heir(const struct found_spare *a, const struct found_spare *b);

/* True if @s is the spare that was named for the set, or took its place, also by way of others. */
bool spare_named(const struct match_input *in, const struct found_spare *s,
		 const struct named_set *set);

#endif
