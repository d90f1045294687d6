/* SPDX-License-Identifier: GPL-2.0-only */
/* libdevmapper's tasks, as we use them. */
#ifndef TASK_H
#define TASK_H

#include <libdevmapper.h>
#include <linux/dm-ioctl.h>
#include <stdbool.h>

#define TARGET "remap"

/* False if the kernel knows no device-mapper yet: libdevmapper, if asked then, has modules loaded by running a program. */
bool task_possible(void);

/*
 * A new task; NULL if memory is short. Events carry the flag of a primary source, which libdevmapper
 * sets by itself, but no cookie: waiting for its semaphore hangs for ever once udevd is gone, as at
 * switch-root.
 */
struct dm_task *task_new(int type, const char *name);

/* Returns 0 or a negative errno. */
int task_run(struct dm_task *task);

/* A DM device to be: one target of @length sectors. */
struct mapping {
	const char *name, *uuid;
	const char *target, *params;
	uint64_t length;
	bool read_only;
};

/*
 * Make a DM device and wait until /dev/mapper/NAME is there, unless udev runs us, which makes that. Returns
 * 0 or a negative errno; -EBUSY if a device of this name or UUID exists.
 */
int task_map(const struct mapping *m);

/* Ask what a DM device is, and for its UUID. False if there is none of this name, or it can't be told. */
bool task_info(const char *name, struct dm_info *info, char uuid[DM_UUID_LEN]);

/* How often a DM device is open; -1 if that can't be told. */
int task_open_count(const char *name);

/* Remove a DM device. Returns 0 or a negative errno; -EBUSY if it is open. */
int task_unmap(const char *name);

/*
 * The parameters of the only target of @name, for DM_DEVICE_STATUS or DM_DEVICE_TABLE; to be freed.
 * NULL if that is not one of ours, or does not answer.
 */
char *task_params(const char *name, int type);

/* Send @text to the target. Its answer, "" if it gave none, is to be freed. Returns 0 or a negative errno. */
int task_message(const char *name, const char *text, char **answer);

#endif
