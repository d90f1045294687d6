// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "task.h"

#define NODE_WAIT 10 /* seconds that udev is given to make a device node */

/* libdevmapper's own words are details for us: what they mean is said by whoever asked. */
static void dm_log(int level, const char *file, int line, int dm_errno, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

static void dm_log(int level, const char *file, int line, int dm_errno, const char *format, ...)
{
	char text[512];
	va_list args;

	(void)file;
	(void)line;
	(void)dm_errno;
	if ((level & 7) > 4) /* more than warnings */
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_debug("libdevmapper: %s", printable(text));
}

bool task_possible(void)
{
	return !access("/sys/class/misc/device-mapper", F_OK);
}

struct dm_task *task_new(int type, const char *name)
{
	struct dm_task *task;

	dm_log_with_errno_init(dm_log);
	dm_udev_set_sync_support(0);
	task = dm_task_create(type);
	if (task && name && !dm_task_set_name(task, name)) {
		dm_task_destroy(task);
		return NULL;
	}
	return task;
}

int task_run(struct dm_task *task)
{
	int err;

	if (dm_task_run(task))
		return 0;
	err = dm_task_get_errno(task);
	return err ? -err : -EIO;
}

static bool node_is(const char *path, dev_t dev)
{
	struct stat st;

	return !stat(path, &st) && S_ISBLK(st.st_mode) && st.st_rdev == dev;
}

/*
 * Where udev runs, /dev/mapper/NAME is its to make, and a node made here would stand in its way.
 * The wait has an end: a udevd that hangs or is about to be replaced must not hold the boot.
 */
static void wait_for_node(const char *name, dev_t dev)
{
	struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
	char path[160];

	snprintf(path, sizeof(path), "/dev/mapper/%s", name);
	if (!access("/run/udev/control", F_OK)) {
		for (int i = 0; i < NODE_WAIT * 50 && !node_is(path, dev); i++)
			nanosleep(&pause, NULL);
	}
	/* a node that is right is left alone */
	dm_task_update_nodes();
}

/* udev has only so many workers. If all of them were to wait for what another one makes, none would. */
static bool in_udev_worker(void)
{
	return getenv("SEQNUM") && getenv("DEVPATH");
}

/* libdevmapper makes the node at the latest when the program ends, unless it is told that udev will. */
static bool leave_node_to_udev(struct dm_task *task)
{
	uint32_t none;

	return dm_task_set_cookie(task, &none, DM_UDEV_DISABLE_LIBRARY_FALLBACK);
}

int task_map(const struct mapping *m)
{
	struct dm_task *task = task_new(DM_DEVICE_CREATE, m->name);
	bool wait = !in_udev_worker();
	struct dm_info info;
	int err = -ENOMEM;

	if (!task)
		return err;
	log_debug("table for %s: 0 %" PRIu64 " %s %s", m->name, m->length, m->target, m->params);
	if (dm_task_set_uuid(task, m->uuid) &&
	    dm_task_add_target(task, 0, m->length, m->target, m->params) &&
	    (!m->read_only || dm_task_set_ro(task)) && (wait || leave_node_to_udev(task)))
		err = task_run(task);
	if (!err && wait && dm_task_get_info(task, &info))
		wait_for_node(m->name, makedev(info.major, info.minor));
	dm_task_destroy(task);
	return err;
}

bool task_info(const char *name, struct dm_info *info, char uuid[DM_UUID_LEN])
{
	struct dm_task *task = task_new(DM_DEVICE_INFO, name);
	bool found = task && !task_run(task) && dm_task_get_info(task, info) && info->exists;

	if (found)
		snprintf(uuid, DM_UUID_LEN, "%s", dm_task_get_uuid(task) ?: "");
	if (task)
		dm_task_destroy(task);
	return found;
}

int task_open_count(const char *name)
{
	char uuid[DM_UUID_LEN];
	struct dm_info info;

	return task_info(name, &info, uuid) ? info.open_count : -1;
}

int task_unmap(const char *name)
{
	struct dm_task *task = task_new(DM_DEVICE_REMOVE, name);
	int err = -ENOMEM;

	if (!task)
		return err;
	/* udev may be looking at the device just now */
	if (dm_task_retry_remove(task))
		err = task_run(task);
	dm_task_destroy(task);
	if (!err)
		dm_task_update_nodes();
	return err;
}

char *task_params(const char *name, int type)
{
	struct dm_task *task = task_new(type, name);
	char *kind = NULL, *params = NULL, *copy = NULL;
	uint64_t start, length;

	/* asking must not make a set that does I/O wait for a flush */
	if (task && dm_task_no_flush(task) && !task_run(task)) {
		dm_get_next_target(task, NULL, &start, &length, &kind, &params);
		if (kind && params && !strcmp(kind, TARGET))
			copy = strdup(params);
	}
	if (task)
		dm_task_destroy(task);
	return copy;
}

int task_message(const char *name, const char *text, char **answer)
{
	struct dm_task *task = task_new(DM_DEVICE_TARGET_MSG, name);
	const char *said;
	int err = -ENOMEM;

	*answer = NULL;
	if (task && dm_task_set_sector(task, 0) && dm_task_set_message(task, text))
		err = task_run(task);
	if (!err) {
		said = dm_task_get_message_response(task);
		*answer = strdup(said ? said : "");
		err = *answer ? 0 : -ENOMEM;
	}
	if (task)
		dm_task_destroy(task);
	return err;
}
