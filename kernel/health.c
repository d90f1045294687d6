// SPDX-License-Identifier: GPL-2.0-only
/*
 * How well the set does what it is for: a change is worth an event.
 */
#include "target.h"

enum dmr_health dmr_health(const struct dmr_target *t)
{
	const struct dmr_store *s = &dmr_spare(t)->store;
	const unsigned int copies = dmr_store_valid_copies(s);
	const u64 left = dmr_store_free(s), room = READ_ONCE(s->room);

	/* The next sector that goes bad would be lost. */
	if (READ_ONCE(s->failed) || copies < DMR_SAFE_COPIES || left < t->unit || !room ||
	    dmr_guard_stops(t))
		return DMR_HEALTH_FAILING;
	if (copies < DMR_COPIES || READ_ONCE(t->scrub.left_unreadable) ||
	    min(left, room * DMR_ENTRY_SECTORS) < t->param[DMR_LOW_WATER])
		return DMR_HEALTH_DEGRADED;
	return DMR_HEALTH_OK;
}

const char *dmr_health_text(enum dmr_health health)
{
	static const char *const text[] = {
		[DMR_HEALTH_OK] = "ok",
		[DMR_HEALTH_DEGRADED] = "degraded",
		[DMR_HEALTH_FAILING] = "failing",
	};

	return text[health];
}

const char *dmr_mode_text(const struct dmr_target *t)
{
	const struct dmr_store *s = &dmr_spare(t)->store;

	if (READ_ONCE(s->failed))
		return "failed";
	return s->read_only ? "ro" : "rw";
}

void dmr_report(struct dmr_target *t)
{
	const struct dmr_store *s = &t->spare->store;
	const struct dmr_reported now = {
		.health = dmr_health(t),
		.pending = READ_ONCE(t->spare->extents.pending),
		.bad_copies = READ_ONCE(s->bad_copies),
		.repairs = le64_to_cpu(s->super->repairs),
	};
	const struct dmr_reported old = t->reported;

	if (now.health == old.health && now.pending == old.pending &&
	    now.bad_copies == old.bad_copies && now.repairs == old.repairs)
		return;
	if (now.bad_copies & ~old.bad_copies)
		dmr_scrub_kick(t);
	if (now.health != old.health)
		DMWARN("%s: %pg: now %s: %u/%u copies valid, %pg has %llu sectors for %llu extents",
		       dmr_set_name(s), t->main->bdev, dmr_health_text(now.health),
		       dmr_store_valid_copies(s), DMR_COPIES, s->bdev, dmr_store_free(s),
		       READ_ONCE(s->room));
	t->reported = now;
	dm_table_event(t->ti->table);
}
