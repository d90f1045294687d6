/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is done to a set when nobody waits for it: scrubs, and repairs of its metadata.
 */
#ifndef DMR_SCRUB_H
#define DMR_SCRUB_H

#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "range.h"
#include "store.h"

struct dmr_target;

#define DMR_REPAIRS 3

/* backoff.c: attempts to mend a bad copy. Times are seconds since boot. */
struct dmr_backoff {
	unsigned int made; /* since .first */
	time64_t first;
	time64_t last;
};

/* repair.c: a look at the metadata of some copies, one after the other. By the mover. */
struct dmr_pass {
	u8 copies; /* left to be looked at; the lowest is being looked at. 0: there is no pass */
	u8 mend; /* of these: what is damaged is written over */
	u64 began; /* generation of the table when the look at this copy began */
	bool looking; /* .look is at that copy, and waits to be read */
	bool repaired; /* a copy */
	bool given_up; /* before all were looked at */
	struct dmr_look look;
};

/* scrub.c: what is done when nobody waits for it. */
struct dmr_scrub {
	struct workqueue_struct *wq;
	struct delayed_work work;
	struct page *page[DMR_LOOK_BLOCKS]; /* those of .pass, between its steps */
	wait_queue_head_t answer;
	spinlock_t lock; /* of the following three; irqs off */
	bool stopped; /* suspended */
	bool asked; /* for a scrub */
	unsigned int requests; /* for a repair */
	unsigned int answered; /* of these; by the worker */
	unsigned int serving; /* of these, with the pass under way */
	struct dmr_pass pass;
	struct dmr_backoff backoff[DMR_COPIES];
	bool running; /* a scrub is under way: first its pass, then replacement sectors are read */
	sector_t sector; /* of main: where it has got to */
	sector_t singly; /* blocks before this sector are read one by one */
	struct dmr_range lost; /* that could not be read, and may go on */
	u64 done; /* replacement sectors that it has read */
	u64 unreadable; /* of these */
	u64 left_unreadable; /* by the last complete one */
	time64_t ended; /* the last one did, or might have; seconds since boot */
	unsigned long ios; /* of the set, when last looked at */
};

/* backoff.c */

/* Copies that a repair that nobody asked for may be attempted of, now. */
u8 dmr_backoff_allows(const struct dmr_target *t);
/* Another one was made. */
void dmr_backoff_count(struct dmr_target *t, unsigned int copy);
/* Somebody asked for it. */
void dmr_backoff_forget(struct dmr_target *t);
/* True if as many were made as may be in an interval. */
bool dmr_backoff_rests(const struct dmr_target *t, unsigned int copy);
/* When one of @copies may be tried again; seconds since boot. */
time64_t dmr_backoff_next(const struct dmr_target *t, u8 copies);

/* repair.c */

/* Look at @copies, and mend those in @mend. No pass is under way. By the worker of scrub.c. */
void dmr_pass_begin(struct dmr_target *t, u8 copies, u8 mend);
/* The next blocks. -EBUSY while suspended, -ENOMEM: nothing was done. Sleeps. */
int dmr_pass_step(struct dmr_target *t);

/* scrub.c */

/* -ENOMEM. */
int dmr_scrub_init(struct dmr_target *t);
void dmr_scrub_exit(struct dmr_target *t);
void dmr_scrub_start(struct dmr_target *t);
/* Do nothing more, and have those who wait come back with -EBUSY. */
void dmr_scrub_stop(struct dmr_target *t);
/* When the set is activated: choose when the first scrub begins. */
void dmr_scrub_stagger(struct dmr_target *t);
/* Wait for what is under way, after dmr_scrub_stop(). */
void dmr_scrub_drain(struct dmr_target *t);
/* Have it look whether there is something to be done. In any context. */
void dmr_scrub_kick(struct dmr_target *t);
/* Begin a scrub, after the one that is under way, if any. */
void dmr_scrub_ask(struct dmr_target *t);
/*
 * Begin a repair of all copies, however many attempts have failed. Returns the number of the
 * request.
 */
unsigned int dmr_repair_ask(struct dmr_target *t);
/* The same, waited for. -EBUSY while suspended, -EROFS, -EIO if damage is left, -EINTR. */
int dmr_repair(struct dmr_target *t);
/* What is being done: "idle", "repair", "migrate" or "scrub". */
const char *dmr_scrub_text(const struct dmr_target *t);

#endif
