// SPDX-License-Identifier: GPL-2.0-only
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "changes.h"
#include "policy.h"

/* A set with which nothing is wrong. */
static const struct active_status well = {
	.mode = "rw",
	.health = "ok",
	.valid_copies = DMR_COPIES,
};

static void __attribute__((format(printf, 3, 4)))
add(struct change **next, const char *event, const char *format, ...)
{
	va_list args;

	(*next)->event = event;
	va_start(args, format);
	vsnprintf((*next)->sentence, sizeof((*next)->sentence), format, args);
	va_end(args);
	++*next;
}

static const char *mode_text(const char *mode)
{
	if (!strcmp(mode, "rw"))
		return "moves what cannot be written";
	if (!strcmp(mode, "ro"))
		return "is read-only";
	return "moves nothing any more: its table could not be written; 'dmsetup message' with "
	       "'restore' loads it again";
}

static void find_in_status(const struct active_status *before, const struct active_status *after,
			   struct change **next)
{
	const struct active_status *old = before ? before : &well;

	if (strcmp(old->mode, after->mode))
		add(next, "mode", "%s", mode_text(after->mode));
	if (strcmp(old->health, after->health))
		add(next, "health",
		    "is %s: %u of 5 copies valid, %" PRIu64 " of %" PRIu64 " spare sectors free",
		    after->health, after->valid_copies, after->spare_free_sectors,
		    after->spare_sectors);
	if (old->valid_copies != after->valid_copies)
		add(next, "copies", "%u of 5 copies of its metadata are valid, %u before",
		    after->valid_copies, old->valid_copies);
	if (before && old->repairs < after->repairs)
		add(next, "repair", "its metadata was mended");
	if (before && old->remapped_sectors < after->remapped_sectors)
		add(next, "moved", "%" PRIu64 " more sectors live on the spare, %" PRIu64 " in all",
		    after->remapped_sectors - old->remapped_sectors, after->remapped_sectors);
	if (old->pending_sectors != after->pending_sectors)
		add(next, "pending", "%" PRIu64 " sectors cannot be read, %" PRIu64 " before",
		    after->pending_sectors, old->pending_sectors);
	if (old->unreadable_sectors != after->unreadable_sectors)
		add(next, "unreadable",
		    "%" PRIu64 " sectors on its spare cannot be read, %" PRIu64 " before",
		    after->unreadable_sectors, old->unreadable_sectors);
}

/* Nobody may have looked between its beginning and its end. */
static void find_migration(const struct view *old, const struct view *now, struct change **next)
{
	if (*now->incoming) {
		if (strcmp(old->incoming, now->incoming))
			add(next, "migration", "is being moved to the spare %s", now->incoming);
	} else if (*now->refused) {
		if (*old->incoming || strcmp(old->refused, now->refused))
			add(next, "migration", "was not moved to the spare %s: %s", now->refused,
			    strerror(-now->refusal));
	} else if (*old->spare && *now->spare && strcmp(old->spare, now->spare)) {
		add(next, "spare",
		    "has the spare %s now, and not %s any more; if " POLICY_CONFIG
		    " names that, change it",
		    now->spare, old->spare);
	}
}

size_t changes_find(const struct view *before, const struct view *after, struct change *out)
{
	struct change *next = out;

	find_in_status(before ? &before->status : NULL, &after->status, &next);
	if (before)
		find_migration(before, after, &next);
	return next - out;
}
