/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A set moves to another spare while it is in use.
 *
 * The worker of scrub.c fills the new spare, which nobody else knows, and the mover makes it the
 * set's spare. Until then the old one is the truth.
 */
#ifndef DMR_MIGRATE_H
#define DMR_MIGRATE_H

#include <linux/types.h>

struct dmr_errand;
struct dmr_spare;
struct dmr_target;
struct page;

struct dmr_migration {
	struct dmr_spare *to; /* is being filled; NULL: nothing is. Changed under dmr_scrub.lock */
	dev_t dev; /* that it is on; 0 when all of it has ended: by claim.c */
	bool undecided; /* it ended so that nobody knows which spare is the truth */
	bool waits; /* for a table that is loaded and not resumed; was said */
	bool cancelled; /* somebody wants it to end */
	bool marked; /* the old spare says so, if it can be written */
	unsigned long *dirty; /* bit per region of the map: something there has to be copied */
	sector_t sector; /* of main: copied up to here, */
	sector_t end; /* of the region at hand */
	sector_t singly; /* blocks before this sector are read one by one */
	u64 copied; /* sectors, in this pass over all regions */
	unsigned int passes; /* so far */
	unsigned int attempts; /* to take over: the more, the longer writes may have to wait */
	bool lost; /* something could not be read in this pass */
	unsigned int lost_flushes; /* dmr_store_lost() of the new spare when copying began */
	dev_t failed; /* the last one that was given up; 0: it was not */
	/* why it ends without success, once the device is not suspended, or has ended so; else 0 */
	int error;
};

/* What is known of it. */
struct dmr_progress {
	dev_t to; /* being filled, 0: none is */
	u64 done; /* sectors */
	u64 all;
	dev_t failed; /* see dmr_migration */
	int error;
};

/* incoming.c: how it begins, and ends without success. */

/*
 * Begin to fill the device at @path. Whatever stands in the way is logged: -EROFS, -EBUSY (it is
 * in use, or another is being filled), -EINVAL, -EUCLEAN (there is something on it), -EEXIST (that
 * is a set), -ENOSPC (it is too small), -ENOMEM, or the I/O error.
 */
int dmr_migrate(struct dmr_target *t, const char *path);
/* Have the one that is under way end soon. -ENODATA if there is none. */
int dmr_migrate_cancel(struct dmr_target *t);
/* Forget the spare that is being filled, for .error. By the worker. -EBUSY while suspended. */
int dmr_migrate_abandon(struct dmr_target *t);
/* It has ended, for .error or with success, and another can begin. By the worker. */
void dmr_migrate_end(struct dmr_target *t);
/* -EUCLEAN, and a line in the log, if nobody knows which spare is the truth after a turn. */
int dmr_migrate_decided(const struct dmr_target *t);
void dmr_migrate_progress(struct dmr_target *t, struct dmr_progress *p);
/* -ENOMEM. */
int dmr_migrate_init(struct dmr_target *t);
/* While nothing is under way any more. */
void dmr_migrate_exit(struct dmr_target *t);

/* migrate.c: the copying. */

/* Some of it, up to its end. Nothing to be done if nothing is being filled. By the worker. */
int dmr_migrate_step(struct dmr_target *t);
/* Begin a pass over all regions. */
void dmr_migrate_rewind(struct dmr_migration *m);
/* Go to the next region that has something to be copied. False if there is none. */
bool dmr_migrate_region(struct dmr_target *t);
/*
 * Copy the next extent of the region at hand, or a part of it, by way of @page. After an error it
 * is still the next.
 */
int dmr_migrate_extent(struct dmr_target *t, struct page *const *page);

/* takeover.c: the end. */

/*
 * Copy what is left, while all writes wait, and use the new spare from then on. -EAGAIN: not now,
 * as there is too much left; -EBUSY: not now, as another table waits to be resumed; -EUCLEAN: both
 * spares failed, and no write succeeds from now on. An errand.
 */
int dmr_take_over(struct dmr_target *t, struct dmr_errand *e);
/* Close what was replaced. While there is no I/O. */
void dmr_close_replaced(struct dmr_target *t);

#endif
