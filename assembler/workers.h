/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The same work on many items at once, in processes of their own. A disk that hangs holds whoever reads
 * from it, beyond the reach of signals: then that is a worker, which is left behind, and nobody else.
 */
#ifndef WORKERS_H
#define WORKERS_H

#include <stdbool.h>
#include <stddef.h>

struct workers;

/*
 * What a worker does with item number @item, with @context as it was when the workers were started. All
 * that it leaves behind is @result, which is zero at first. It has no standard output or error.
 */
typedef void work_fn(size_t item, void *result, const void *context);

/* Start work on @count items, with @size bytes of result each. NULL, with errno, if that can't be done. */
struct workers *workers_start(size_t count, size_t size, work_fn *work, const void *context);

/*
 * Wait for results. An item is given up when nothing was heard from its worker for @patience seconds, and
 * with it those that no worker could be had for. Returns how many results are missing.
 */
size_t workers_wait(struct workers *w, unsigned int patience);

/* To be called by work that takes long, whenever something came back from the device. */
void workers_alive(void);

/* The result for an item, until workers_end(); NULL if it is missing. */
void *workers_result(const struct workers *w, size_t item);

/* Also with results missing. */
void workers_end(struct workers *w);

#endif
