// SPDX-License-Identifier: GPL-2.0-only
/*
 * How often a copy that could not be written is tried again: three times in an hour, each time
 * after eight times as long, and then no more in that hour. What fails for a moment, such as a bus
 * that is reset, is mended by then; what fails for good is not worn out, and the log not filled.
 */
#include <linux/ktime.h>
#include <linux/timekeeping.h>

#include "target.h"

/* Of the hour: 15 s after the first attempt, 2 min after the second. */
#define FIRST_PART 240
#define FACTOR     8

static time64_t interval(const struct dmr_target *t)
{
	return READ_ONCE(t->param[DMR_REPAIR_INTERVAL]);
}

/* When the next attempt may be made. */
static time64_t next(const struct dmr_target *t, const struct dmr_backoff *b)
{
	const time64_t end = b->first + interval(t);
	time64_t wait = max_t(time64_t, div_u64(interval(t), FIRST_PART), 1);
	unsigned int i;

	if (!b->made)
		return 0;
	if (b->made >= DMR_REPAIRS)
		return end;
	for (i = 1; i < b->made; i++)
		wait *= FACTOR;
	return min(end, b->last + wait);
}

u8 dmr_backoff_allows(const struct dmr_target *t)
{
	const time64_t now = ktime_get_boottime_seconds();
	u8 copies = 0;
	unsigned int i;

	for (i = 0; i < DMR_COPIES; i++)
		if (now >= next(t, &t->scrub.backoff[i]))
			copies |= 1 << i;
	return copies;
}

void dmr_backoff_count(struct dmr_target *t, unsigned int copy)
{
	struct dmr_backoff *b = &t->scrub.backoff[copy];
	const time64_t now = ktime_get_boottime_seconds();
	const bool over = !b->made || now >= b->first + interval(t);

	if (over)
		b->first = now;
	b->last = now;
	WRITE_ONCE(b->made, over ? 1 : b->made + 1);
}

void dmr_backoff_forget(struct dmr_target *t)
{
	unsigned int i;

	for (i = 0; i < DMR_COPIES; i++)
		WRITE_ONCE(t->scrub.backoff[i].made, 0);
}

bool dmr_backoff_rests(const struct dmr_target *t, unsigned int copy)
{
	return READ_ONCE(t->scrub.backoff[copy].made) >= DMR_REPAIRS;
}

time64_t dmr_backoff_next(const struct dmr_target *t, u8 copies)
{
	time64_t first = TIME64_MAX;
	unsigned int i;

	for (i = 0; i < DMR_COPIES; i++)
		if (copies & 1 << i)
			first = min(first, next(t, &t->scrub.backoff[i]));
	return first;
}
