// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <libkmod.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "activate.h"
#include "active.h"
#include "format.h"
#include "log.h"
#include "task.h"

#define RESUME_TRIES 3

static bool have_target(void)
{
	struct dm_task *task = task_new(DM_DEVICE_LIST_VERSIONS, NULL);
	struct dm_versions *v, *last = NULL;
	bool found = false;

	if (task && !task_run(task)) {
		for (v = dm_task_get_versions(task); v && v != last && !found;
		     v = (struct dm_versions *)((char *)v + v->next)) {
			found = !strcmp(v->name, TARGET);
			last = v;
		}
	}
	if (task)
		dm_task_destroy(task);
	return found;
}

static int load_module(const char *name)
{
	struct kmod_ctx *ctx = kmod_new(NULL, NULL);
	struct kmod_list *list = NULL, *entry;
	int err = ctx ? kmod_module_new_from_lookup(ctx, name, &list) : -ENOMEM;

	if (!err && !list)
		err = -ENOENT;
	kmod_list_foreach(entry, list)
	{
		struct kmod_module *module = kmod_module_get_module(entry);

		if (!err)
			err = kmod_module_probe_insert_module(module, KMOD_PROBE_APPLY_BLACKLIST,
							      NULL, NULL, NULL, NULL);
		kmod_module_unref(module);
	}
	kmod_module_unref_list(list);
	kmod_unref(ctx);
	return err < 0 ? err : 0;
}

int activate_prepare(void)
{
	int err;

	if (!task_possible()) {
		err = load_module("dm-mod");
		if (err) {
			log_error("cannot load the kernel module dm-mod: %s", strerror(-err));
			return err;
		}
	}
	if (have_target())
		return 0;
	err = load_module("dm-remap");
	if (err)
		log_error("cannot load the kernel module dm-remap: %s; is it built for this kernel "
			  "('dkms status')?",
			  strerror(-err));
	return err;
}

static void table_line(const struct activation *a, char *text, size_t size)
{
	char uuid[UUID_STR_LEN], scrub[sizeof(" scrub_interval 4294967295")] = "";
	unsigned int args = 2;

	uuid_unparse_lower(a->uuid, uuid);
	if (a->scrub_interval != SCRUB_INTERVAL) {
		args += 2;
		snprintf(scrub, sizeof(scrub), " scrub_interval %u", a->scrub_interval);
	}
	args += a->no_repair;
	snprintf(text, size, "%u:%u %u:%u %u uuid %s%s%s", major(a->main), minor(a->main),
		 major(a->spare), minor(a->spare), args, uuid, a->no_repair ? " no_repair" : "",
		 scrub);
}

/* Of an activation that was cut short there may be a device without a table, which nobody can have in use. */
static void remove_remains(const char *name, const char *uuid)
{
	char found[DM_UUID_LEN];
	struct dm_info info;

	if (task_info(name, &info, found) && !info.live_table && !strcmp(found, uuid))
		task_unmap(name);
}

int activate_create(const struct activation *a)
{
	char params[256], uuid[UUID_STR_LEN + sizeof(UUID_PREFIX)] = UUID_PREFIX;
	const struct mapping m = {
		.name = a->name,
		.uuid = uuid,
		.target = TARGET,
		.params = params,
		.length = a->length,
		.read_only = a->read_only,
	};

	table_line(a, params, sizeof(params));
	uuid_unparse_lower(a->uuid, uuid + strlen(UUID_PREFIX));
	remove_remains(m.name, m.uuid);
	return task_map(&m);
}

/* File systems need not be made to write all they have: the device is back at once. */
static int change_state(const char *name, int type)
{
	struct dm_task *task = task_new(type, name);
	int err = -ENOMEM;

	if (task && dm_task_skip_lockfs(task) && dm_task_no_flush(task))
		err = task_run(task);
	if (task)
		dm_task_destroy(task);
	return err;
}

int activate_settle(const char *name)
{
	int err, tries = 0;

	/* this program may be on the device that is suspended, and must not have to be read from it */
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		return -errno;
	err = change_state(name, DM_DEVICE_SUSPEND);
	if (!err) {
		do
			err = change_state(name, DM_DEVICE_RESUME);
		while (err && ++tries < RESUME_TRIES);
	}
	munlockall();
	return err;
}
