// SPDX-License-Identifier: GPL-2.0-only
/*
 * From time to time all metadata is looked at, and all that lives on the spare is read: what is
 * not looked at for years is found damaged when it is needed.
 *
 * One worker does this, and repairs that are due or asked for, in small steps: one request is in
 * flight at a time, and there is a pause after each step, a longer one while the set is in use.
 */
#include <linux/blkdev.h>
#include <linux/part_stat.h>
#include <linux/random.h>
#include <linux/sched/mm.h>
#include <linux/ktime.h>
#include <linux/timekeeping.h>

#include "target.h"

#define PAUSE         (HZ / 20)
#define LONGEST_SLEEP 3600 /* seconds */

/* Say which sectors could not be read, once it is known how many there are in a row. */
static void say_what_is_lost(struct dmr_target *t)
{
	struct dmr_range *lost = &t->scrub.lost;

	if (lost->end > lost->start)
		DMWARN_LIMIT("%s: sectors %llu+%llu of %pg are on %pg and cannot be read",
			     dmr_set_name(&t->spare->store), (unsigned long long)lost->start,
			     (unsigned long long)(lost->end - lost->start), t->main->bdev,
			     t->spare->dev->bdev);
	lost->start = 0;
	lost->end = 0;
}

static void note_lost(struct dmr_target *t, sector_t sector)
{
	struct dmr_scrub *c = &t->scrub;

	if (c->lost.end != sector) {
		say_what_is_lost(t);
		c->lost.start = sector;
	}
	c->lost.end = sector + t->unit;
	c->unreadable += t->unit;
}

/*
 * Read what is on the spare of the sectors behind .sector: a block if it may be one that cannot be
 * read, as that may take seconds, else up to the end of the extent. Returns how many that was.
 */
static sector_t read_extent(struct dmr_target *t, struct dmr_place *place)
{
	struct dmr_scrub *c = &t->scrub;
	const bool single = c->sector < c->singly;

	place->run =
		min_t(sector_t, place->run, single ? t->unit : DMR_LOOK_BLOCKS * DMR_BLOCK_SECTORS);
	if (place->pending) /* there is nothing to be read */
		return place->run;
	if (dmr_transfer(t, c->page, 0, place->run, REQ_OP_READ, t->spare->dev->bdev,
			 place->sector)) {
		if (place->run > t->unit) {
			c->singly = c->sector + place->run;
			return 0;
		}
		note_lost(t, c->sector);
	}
	return place->run;
}

/* Some of what is on the spare, past what is not; a few short extents, or a part of a long one. */
static void read_replacements(struct dmr_target *t)
{
	struct dmr_scrub *c = &t->scrub;
	struct dmr_place place;
	sector_t done = 0;

	while (c->sector < t->ti->len && done < DMR_BLOCK_SECTORS) {
		place = dmr_locate(&t->spare->extents, c->sector, t->ti->len - c->sector);
		if (place.on_spare) {
			place.run = read_extent(t, &place);
			if (!place.run || c->sector < c->singly)
				done = DMR_BLOCK_SECTORS;
			done += place.run;
			WRITE_ONCE(c->done, c->done + place.run);
		}
		c->sector += place.run;
		cond_resched();
	}
}

static int count_scrub(struct dmr_target *t, struct dmr_errand *e)
{
	int r = dmr_store_count_scrub(&t->spare->store);

	dmr_flush_distrust(t);
	return r;
}

/* It ended, or cannot go on. */
static void stop_scrub(struct dmr_target *t)
{
	say_what_is_lost(t);
	WRITE_ONCE(t->scrub.running, false);
	t->scrub.ended = ktime_get_boottime_seconds();
	dmr_mover_kick(t); /* to report what was found */
}

static void end_scrub(struct dmr_target *t)
{
	struct dmr_scrub *c = &t->scrub;

	/* Before it is counted: whoever waits for that wants to know what it has found. */
	WRITE_ONCE(c->left_unreadable, c->unreadable);
	/* While suspended nothing can be written: it ends after that. */
	if (!t->spare->store.read_only && dmr_mover_do(t, count_scrub) == -EBUSY)
		return;
	stop_scrub(t);
}

static void begin_scrub(struct dmr_target *t)
{
	struct dmr_scrub *c = &t->scrub;

	c->sector = 0;
	c->singly = 0;
	c->unreadable = 0;
	WRITE_ONCE(c->done, 0);
	WRITE_ONCE(c->running, true);
	dmr_pass_begin(t, DMR_ALL_COPIES, READ_ONCE(t->no_repair) ? 0 : dmr_backoff_allows(t));
}

static time64_t next_scrub(const struct dmr_target *t)
{
	const u64 interval = READ_ONCE(t->param[DMR_SCRUB_INTERVAL]);

	return interval ? t->scrub.ended + interval : TIME64_MAX;
}

/* Bad copies that are to be mended without being told to. */
static u8 mendable(const struct dmr_target *t)
{
	const struct dmr_store *s = &t->spare->store;

	if (s->read_only || READ_ONCE(t->no_repair) || READ_ONCE(s->failed))
		return 0;
	return READ_ONCE(s->bad_copies);
}

/* True if somebody has asked for a scrub. */
static bool take_asked(struct dmr_scrub *c)
{
	bool asked;

	spin_lock_irq(&c->lock);
	asked = c->asked;
	WRITE_ONCE(c->asked, false);
	spin_unlock_irq(&c->lock);
	return asked;
}

/* What somebody waits for goes first, then what is damaged, then what might be. */
static void choose(struct dmr_target *t)
{
	const u8 due = mendable(t) & dmr_backoff_allows(t);
	struct dmr_scrub *c = &t->scrub;

	c->serving = READ_ONCE(c->requests);
	if (c->serving != c->answered) {
		dmr_backoff_forget(t);
		dmr_pass_begin(t, DMR_ALL_COPIES, DMR_ALL_COPIES);
	} else if (due) {
		dmr_pass_begin(t, due, due);
	} else if (!c->running && !dmr_migrating(t) &&
		   (take_asked(c) || ktime_get_boottime_seconds() >= next_scrub(t))) {
		begin_scrub(t);
	}
}

static int step_pass(struct dmr_target *t)
{
	struct dmr_scrub *c = &t->scrub;
	int r = dmr_pass_step(t);

	if (c->pass.copies)
		return r;
	if (c->running && c->pass.given_up)
		stop_scrub(t);
	WRITE_ONCE(c->answered, c->serving);
	wake_up_all(&c->answer);
	return r;
}

static int step(struct dmr_target *t)
{
	struct dmr_scrub *c = &t->scrub;

	if (!c->pass.copies)
		choose(t);
	if (c->pass.copies)
		return step_pass(t);
	if (dmr_migrating(t)) {
		if (c->running) {
			/* Of a spare that is about to go. */
			stop_scrub(t);
			dmr_scrub_ask(t);
		}
		return dmr_migrate_step(t);
	}
	if (c->running && c->sector < t->ti->len)
		read_replacements(t);
	else if (c->running)
		end_scrub(t);
	return 0;
}

static bool in_use(struct dmr_target *t)
{
	struct block_device *part = dm_disk(dm_table_get_md(t->ti->table))->part0;
	const unsigned long ios = part_stat_read_accum(part, ios);
	const bool used = ios != t->scrub.ios;

	t->scrub.ios = ios;
	return used;
}

/* Jiffies until the worker has to look again. */
static unsigned long pause(struct dmr_target *t)
{
	struct dmr_scrub *c = &t->scrub;
	time64_t next, now = ktime_get_boottime_seconds();

	if (c->pass.copies || c->running || dmr_migrating(t))
		return in_use(t) ? PAUSE : 1;
	if (READ_ONCE(c->requests) != c->answered || READ_ONCE(c->asked))
		return 0;
	next = min(next_scrub(t), dmr_backoff_next(t, mendable(t)));
	return clamp_t(time64_t, next - now, 1, LONGEST_SLEEP) * HZ;
}

/* Each step is a work of its own, so that the machine can be hibernated between two. */
static void scrub_work(struct work_struct *work)
{
	struct dmr_scrub *c = container_of(to_delayed_work(work), struct dmr_scrub, work);
	struct dmr_target *t = container_of(c, struct dmr_target, scrub);
	const unsigned int noio = memalloc_noio_save();
	unsigned long delay = PAUSE;

	if (!READ_ONCE(c->stopped) && !step(t))
		delay = pause(t);
	spin_lock_irq(&c->lock);
	if (!c->stopped)
		queue_delayed_work(c->wq, &c->work, delay);
	spin_unlock_irq(&c->lock);
	memalloc_noio_restore(noio);
}

void dmr_scrub_kick(struct dmr_target *t)
{
	struct dmr_scrub *c = &t->scrub;
	unsigned long flags;

	spin_lock_irqsave(&c->lock, flags);
	if (!c->stopped)
		mod_delayed_work(c->wq, &c->work, 0);
	spin_unlock_irqrestore(&c->lock, flags);
}

void dmr_scrub_ask(struct dmr_target *t)
{
	struct dmr_scrub *c = &t->scrub;

	spin_lock_irq(&c->lock);
	WRITE_ONCE(c->asked, true);
	spin_unlock_irq(&c->lock);
	dmr_scrub_kick(t);
}

unsigned int dmr_repair_ask(struct dmr_target *t)
{
	struct dmr_scrub *c = &t->scrub;
	unsigned int request;

	spin_lock_irq(&c->lock);
	request = c->requests + 1;
	WRITE_ONCE(c->requests, request);
	spin_unlock_irq(&c->lock);
	dmr_scrub_kick(t);
	return request;
}

int dmr_repair(struct dmr_target *t)
{
	struct dmr_scrub *c = &t->scrub;
	const struct dmr_store *s;
	unsigned int request;
	int r;

	if (dmr_read_only(t))
		return -EROFS;
	request = dmr_repair_ask(t);
	/* Whoever waits for this need not keep the machine from being suspended. */
	r = wait_event_state(c->answer,
			     READ_ONCE(c->stopped) || (int)(READ_ONCE(c->answered) - request) >= 0,
			     (TASK_KILLABLE | TASK_FREEZABLE));
	if (r)
		return -EINTR;
	if ((int)(READ_ONCE(c->answered) - request) < 0)
		return -EBUSY;
	rcu_read_lock();
	s = &dmr_spare(t)->store;
	r = READ_ONCE(s->bad_copies) || READ_ONCE(s->failed) ? -EIO : 0;
	rcu_read_unlock();
	return r;
}

const char *dmr_scrub_text(const struct dmr_target *t)
{
	if (READ_ONCE(t->migration.dev))
		return "migrate";
	if (READ_ONCE(t->scrub.running))
		return "scrub";
	return READ_ONCE(t->scrub.pass.copies) ? "repair" : "idle";
}

/* Many sets that are activated together need not be scrubbed together. */
void dmr_scrub_stagger(struct dmr_target *t)
{
	const u32 interval = min_t(u64, t->param[DMR_SCRUB_INTERVAL], U32_MAX);

	t->scrub.ended = ktime_get_boottime_seconds() - (get_random_u32() % (interval / 2 + 1));
}

void dmr_scrub_start(struct dmr_target *t)
{
	spin_lock_irq(&t->scrub.lock);
	WRITE_ONCE(t->scrub.stopped, false);
	spin_unlock_irq(&t->scrub.lock);
	dmr_scrub_kick(t);
}

void dmr_scrub_stop(struct dmr_target *t)
{
	spin_lock_irq(&t->scrub.lock);
	WRITE_ONCE(t->scrub.stopped, true);
	spin_unlock_irq(&t->scrub.lock);
	wake_up_all(&t->scrub.answer);
}

void dmr_scrub_drain(struct dmr_target *t)
{
	cancel_delayed_work_sync(&t->scrub.work);
}

int dmr_scrub_init(struct dmr_target *t)
{
	struct dmr_scrub *c = &t->scrub;
	unsigned int i;
	int r;

	INIT_DELAYED_WORK(&c->work, scrub_work);
	init_waitqueue_head(&c->answer);
	spin_lock_init(&c->lock);
	c->stopped = true;
	r = dmr_look_init(&c->pass.look);
	if (r)
		return r;
	for (i = 0; i < DMR_LOOK_BLOCKS; i++)
		c->page[i] = virt_to_page(c->pass.look.block[i]);
	c->wq = alloc_ordered_workqueue("dm-remap-scrub", WQ_FREEZABLE | WQ_MEM_RECLAIM);
	return c->wq ? 0 : -ENOMEM;
}

/* Also after a dmr_scrub_init() that failed or was never called: everything is zero then. */
void dmr_scrub_exit(struct dmr_target *t)
{
	if (t->scrub.wq)
		destroy_workqueue(t->scrub.wq);
	dmr_look_exit(&t->scrub.pass.look);
}
