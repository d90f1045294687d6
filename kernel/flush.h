/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the target and its stores tell each other of flushes: one that fails may take with it
 * whatever was in the cache of the disk, whoever has written that.
 */
#ifndef DMR_FLUSH_H
#define DMR_FLUSH_H

#include <linux/atomic.h>
#include <linux/types.h>

struct block_device;

/* Devices whose I/O is flushed, as bits. The spare is the one in use. */
#define DMR_MAIN    1
#define DMR_SPARE   2
#define DMR_DEVICES 2

struct dmr_flushes {
	atomic_t lost[DMR_DEVICES]; /* that failed, on the disk of each device */
	atomic_t own[DMR_DEVICES]; /* the target's own, under way on the disk of each device */
	atomic_t untold; /* DMR_MAIN, DMR_SPARE: one of its own has failed, and nobody was told */
};

/* The sum of the numbers, one per device, of @devices. */
static inline unsigned int dmr_flushes_sum(const atomic_t *numbers, u8 devices)
{
	unsigned int sum = 0;

	if (devices & DMR_MAIN)
		sum += atomic_read(&numbers[0]);
	if (devices & DMR_SPARE)
		sum += atomic_read(&numbers[1]);
	return sum;
}

/* How many have failed that may have been for what is on the disk of @devices. */
static inline unsigned int dmr_flushes_lost(const struct dmr_flushes *f, u8 devices)
{
	return dmr_flushes_sum(f->lost, devices);
}

/*
 * Flush @bdev, whose disk is that of @devices too, for the target's own sake. Sleeps. What a failure
 * says of @devices is told to others by dmr_flush_distrust().
 */
int dmr_flush_own(struct dmr_flushes *f, struct block_device *bdev, u8 devices);

#endif
