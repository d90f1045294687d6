// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bios that wait for a worker.
 */
#include "worker.h"

/*
 * Work is queued before the lock is dropped: as soon as the worker can see the bio it can end it,
 * and with the last bio the wait of a suspend or a removal ends, too. Queueing on a workqueue that
 * drains would leave the work pending for ever.
 */
void dmr_worker_give(struct dmr_worker *w, struct bio *bio)
{
	unsigned long flags;

	spin_lock_irqsave(&w->lock, flags);
	bio_list_add(&w->bios, bio);
	queue_work(w->wq, &w->work);
	spin_unlock_irqrestore(&w->lock, flags);
}

struct bio_list dmr_worker_take(struct dmr_worker *w)
{
	struct bio_list bios;

	spin_lock_irq(&w->lock);
	bios = w->bios;
	bio_list_init(&w->bios);
	spin_unlock_irq(&w->lock);
	return bios;
}

int dmr_worker_init(struct dmr_worker *w, const char *name, work_func_t work)
{
	INIT_WORK(&w->work, work);
	spin_lock_init(&w->lock);
	bio_list_init(&w->bios);
	w->wq = alloc_ordered_workqueue("%s", WQ_MEM_RECLAIM, name);
	return w->wq ? 0 : -ENOMEM;
}

void dmr_worker_exit(struct dmr_worker *w)
{
	if (w->wq)
		destroy_workqueue(w->wq);
}
