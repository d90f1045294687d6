/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bios that are taken from their end_io, or from map, to be dealt with by something that may sleep.
 */
#ifndef DMR_WORKER_H
#define DMR_WORKER_H

#include <linux/bio.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

struct dmr_worker {
	struct workqueue_struct *wq;
	struct work_struct work;
	spinlock_t lock; /* taken in end_io, so irqs off */
	struct bio_list bios;
};

/* -ENOMEM. */
int dmr_worker_init(struct dmr_worker *w, const char *name, work_func_t work);
/* Also after a dmr_worker_init() that failed or was never called: everything is zero then. */
void dmr_worker_exit(struct dmr_worker *w);
/* Hand over a bio, in any context. */
void dmr_worker_give(struct dmr_worker *w, struct bio *bio);
/* All that wait. By the worker. */
struct bio_list dmr_worker_take(struct dmr_worker *w);

#endif
