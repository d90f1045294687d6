// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pass over the metadata of some copies: what is damaged is mended, or known to be.
 *
 * Blocks are read by whoever makes the pass, while commits go on, and judged by the mover between
 * two of them. What is written goes to one copy at a time, and what commits write meanwhile goes
 * there, too. A pass that is cut short, also by a crash, leaves damage, which the next one finds.
 */
#include "target.h"

static unsigned int current_copy(const struct dmr_pass *p)
{
	return __ffs(p->copies);
}

static bool may_mend(const struct dmr_pass *p)
{
	return p->mend & 1 << current_copy(p);
}

static void begin_copy(struct dmr_target *t, struct dmr_pass *p)
{
	const unsigned int copy = current_copy(p);

	p->began = t->spare->store.generation;
	if (may_mend(p))
		dmr_store_join(&t->spare->store, copy);
	dmr_look_begin(&p->look, &t->spare->store, copy);
	p->looking = true;
}

static void say(const struct dmr_target *t, const struct dmr_pass *p, bool rejoined, bool news)
{
	const struct dmr_store *s = &t->spare->store;
	const unsigned int copy = p->look.copy;

	if (p->look.mended)
		DMINFO("%s: %pg: metadata copy %u: %u blocks mended", dmr_set_name(s), s->bdev,
		       copy, p->look.mended);
	if (rejoined)
		DMINFO("%s: %pg: metadata copy %u is good again", dmr_set_name(s), s->bdev, copy);
	if (news)
		DMWARN("%s: %pg: metadata copy %u is damaged%s", dmr_set_name(s), s->bdev, copy,
		       may_mend(p) ? " and cannot be mended" : "");
}

/* After the last block, or with damage left: one failure is enough for an attempt. */
static void end_copy(struct dmr_target *t, struct dmr_pass *p, bool whole)
{
	const unsigned int copy = current_copy(p);
	struct dmr_store *s = &t->spare->store;
	const bool bad = s->bad_copies & 1 << copy;
	const bool rejoined = dmr_store_judge(s, copy, p->began, whole);
	const bool bad_now = s->bad_copies & 1 << copy;

	/* An attempt that succeeded counts, too, as the copy may fail again at once. */
	if (may_mend(p) && (bad || bad_now))
		dmr_backoff_count(t, copy);
	say(t, p, rejoined, bad_now && (may_mend(p) || !bad));
	p->repaired |= !bad_now && (p->look.mended || rejoined);
	p->looking = false;
	WRITE_ONCE(p->copies, p->copies & ~(1 << copy));
}

static void give_up(struct dmr_target *t, struct dmr_pass *p)
{
	t->spare->store.joining = 0;
	p->looking = false;
	p->given_up = true;
	WRITE_ONCE(p->copies, 0);
}

/* What was read, and what comes next. */
static void judge_look(struct dmr_target *t, struct dmr_pass *p)
{
	struct dmr_store *s = &t->spare->store;
	int r = dmr_look_compare(&p->look, s, may_mend(p));

	if (r == -EUCLEAN) {
		WRITE_ONCE(s->failed, true);
		give_up(t, p);
	} else if (r) {
		/* Nothing can be made stable: there is no point in trying the others. */
		end_copy(t, p, false);
		give_up(t, p);
	} else if (p->look.left || !dmr_look_next(&p->look, s)) {
		end_copy(t, p, !p->look.left);
	}
}

/* The mover's part of a step. */
static int judge(struct dmr_target *t, struct dmr_errand *e)
{
	struct dmr_pass *p = &t->scrub.pass;

	if (t->spare->store.failed)
		give_up(t, p);
	else if (!p->looking)
		begin_copy(t, p);
	else
		judge_look(t, p);
	if (!p->copies && p->repaired)
		dmr_store_count_repair(&t->spare->store);
	dmr_flush_distrust(t);
	return 0;
}

void dmr_pass_begin(struct dmr_target *t, u8 copies, u8 mend)
{
	struct dmr_pass *p = &t->scrub.pass;

	p->mend = t->spare->store.read_only ? 0 : mend;
	p->looking = false;
	p->repaired = false;
	p->given_up = false;
	WRITE_ONCE(p->copies, copies);
}

int dmr_pass_step(struct dmr_target *t)
{
	struct dmr_pass *p = &t->scrub.pass;

	if (p->looking)
		dmr_look_read(&p->look, &t->spare->store);
	return dmr_mover_do(t, judge);
}
