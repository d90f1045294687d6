// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <inttypes.h>
#include <libdevmapper.h>
#include <libkmod.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "activate.h"
#include "command.h"
#include "log.h"
#include "sysfs.h"

#define TARGET       "remap"
#define UUID_PREFIX  "DMREMAP-"
#define RESUME_TRIES 3
#define NODE_WAIT    10 /* seconds that udev is given to make a device node */

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

/*
 * A new task. Events carry the flag of a primary source, which libdevmapper sets by itself, but no
 * cookie: waiting for its semaphore hangs for ever once udevd is gone, as at switch-root.
 */
static struct dm_task *new_task(int type, const char *name)
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

static int run_task(struct dm_task *task)
{
	int err;

	if (dm_task_run(task))
		return 0;
	err = dm_task_get_errno(task);
	return err ? -err : -EIO;
}

/* The kernel knows no device-mapper yet; asking libdevmapper then would have it load modules by running a program. */
static bool have_device_mapper(void)
{
	return !access("/sys/class/misc/device-mapper", F_OK);
}

static bool have_target(void)
{
	struct dm_task *task = new_task(DM_DEVICE_LIST_VERSIONS, NULL);
	struct dm_versions *v, *last = NULL;
	bool found = false;

	if (task && !run_task(task)) {
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

	if (!have_device_mapper()) {
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

/* The parameters of the only target of @name, for DM_DEVICE_STATUS or DM_DEVICE_TABLE; to be freed. */
static char *target_params(const char *name, int type)
{
	struct dm_task *task = new_task(type, name);
	char *kind = NULL, *params = NULL, *copy = NULL;
	uint64_t start, length;

	/* asking must not make a set that does I/O wait for a flush */
	if (task && dm_task_no_flush(task) && !run_task(task)) {
		dm_get_next_target(task, NULL, &start, &length, &kind, &params);
		if (kind && params && !strcmp(kind, TARGET))
			copy = strdup(params);
	}
	if (task)
		dm_task_destroy(task);
	return copy;
}

/* Fill in the members of @set from its table. */
static void read_members(struct active_set *set)
{
	unsigned int main_major, main_minor, spare_major, spare_minor;
	char *table = target_params(set->name, DM_DEVICE_TABLE);
	bool found = table && sscanf(table, "%u:%u %u:%u", &main_major, &main_minor, &spare_major,
				     &spare_minor) == 4;

	set->main = found ? makedev(main_major, main_minor) : 0;
	set->spare = found ? makedev(spare_major, spare_minor) : 0;
	free(table);
}

/* Ask for the UUID and number of one device; false if it isn't a set. */
static bool inspect(const char *name, struct active_set *set)
{
	struct dm_task *task = new_task(DM_DEVICE_INFO, name);
	const char *uuid = NULL;
	struct dm_info info;
	bool ours = false;

	if (task && !run_task(task) && dm_task_get_info(task, &info) && info.exists)
		uuid = dm_task_get_uuid(task);
	if (uuid && !strncmp(uuid, UUID_PREFIX, strlen(UUID_PREFIX)) &&
	    !uuid_parse(uuid + strlen(UUID_PREFIX), set->uuid)) {
		snprintf(set->name, sizeof(set->name), "%s", name);
		set->dev = makedev(info.major, info.minor);
		read_members(set);
		ours = true;
	}
	if (task)
		dm_task_destroy(task);
	return ours;
}

int activate_list(struct active_set **list)
{
	struct active_set *sets = NULL, *more;
	struct dm_names *names;
	struct dm_task *task;
	int n = 0, err;

	*list = NULL;
	if (!have_device_mapper())
		return 0;
	task = new_task(DM_DEVICE_LIST, NULL);
	if (!task)
		return -ENOMEM;
	err = run_task(task);
	names = err ? NULL : dm_task_get_names(task);
	while (names && names->dev) {
		more = realloc(sets, (n + 1) * sizeof(*sets));
		if (!more) {
			err = -ENOMEM;
			break;
		}
		sets = more;
		n += inspect(names->name, &sets[n]);
		if (!names->next)
			break;
		names = (struct dm_names *)((char *)names + names->next);
	}
	dm_task_destroy(task);
	if (err) {
		free(sets);
		return err;
	}
	*list = sets;
	return n;
}

/* 1 if an active set is called @name, 0 if none is, or a negative errno. */
static int lookup(const char *name, struct active_set *set)
{
	struct active_set *sets;
	int n = activate_list(&sets), found = n < 0 ? n : 0;

	for (int i = 0; i < n; i++) {
		if (strcmp(sets[i].name, name))
			continue;
		*set = sets[i];
		found = 1;
	}
	free(sets);
	return found;
}

bool activate_lookup(const char *name, struct active_set *set)
{
	return lookup(name, set) > 0;
}

int activate_find(const char *name, struct active_set *set)
{
	int found = lookup(name, set);

	if (found < 0) {
		log_error("cannot list the active sets: %s", strerror(-found));
		return EXIT_FAILED;
	}
	if (found)
		return 0;
	log_error("no active set is called %s; 'dmremap status' lists them", printable(name));
	return EXIT_UNDONE;
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
	char path[DMR_NAME_SIZE + 16];

	snprintf(path, sizeof(path), "/dev/mapper/%s", name);
	if (!access("/run/udev/control", F_OK)) {
		for (int i = 0; i < NODE_WAIT * 50 && !node_is(path, dev); i++)
			nanosleep(&pause, NULL);
	}
	/* a node that is right is left alone */
	dm_task_update_nodes();
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

int activate_create(const struct activation *a)
{
	struct dm_task *task = new_task(DM_DEVICE_CREATE, a->name);
	char params[256], uuid[UUID_STR_LEN + sizeof(UUID_PREFIX)] = UUID_PREFIX;
	struct dm_info info;
	int err = -ENOMEM;

	if (!task)
		return err;
	table_line(a, params, sizeof(params));
	uuid_unparse_lower(a->uuid, uuid + strlen(UUID_PREFIX));
	log_debug("table for %s: 0 %" PRIu64 " " TARGET " %s", a->name, a->length, params);
	if (!dm_task_set_uuid(task, uuid) ||
	    !dm_task_add_target(task, 0, a->length, TARGET, params) ||
	    (a->read_only && !dm_task_set_ro(task)))
		goto out;
	err = run_task(task);
	if (!err && dm_task_get_info(task, &info))
		wait_for_node(a->name, makedev(info.major, info.minor));
out:
	dm_task_destroy(task);
	return err;
}

int activate_remove(const char *name)
{
	struct dm_task *task = new_task(DM_DEVICE_REMOVE, name);
	int err = -ENOMEM;

	if (!task)
		return err;
	/* udev may be looking at the device just now */
	if (dm_task_retry_remove(task))
		err = run_task(task);
	dm_task_destroy(task);
	if (!err)
		dm_task_update_nodes();
	return err;
}

bool activate_parse_status(const char *params, struct active_status *s)
{
	return sscanf(params,
		      "%15s %15s %" SCNu64 "/%" SCNu64 " %" SCNu64 " %" SCNu64 " %u/5 %" SCNu64
		      " %" SCNu64 " %" SCNu64 " %15s %" SCNu64 " %" SCNu64,
		      s->mode, s->health, &s->remapped_sectors, &s->spare_sectors, &s->extents,
		      &s->pending_sectors, &s->valid_copies, &s->generation, &s->repairs,
		      &s->scrubs, s->action, &s->scrubbed_sectors, &s->unreadable_sectors) >= 10;
}

int activate_status(const struct active_set *set, struct active_status *s)
{
	char *line = target_params(set->name, DM_DEVICE_STATUS);
	bool understood = false;

	memset(s, 0, sizeof(*s));
	if (line)
		understood = activate_parse_status(line, s);
	s->spare_free_sectors = sysfs_number(set->dev, "remap/spare_free_sectors",
					     s->spare_sectors - s->remapped_sectors);
	s->last_repair_time = sysfs_number(set->dev, "remap/last_repair_time", 0);
	free(line);
	return understood ? 0 : -EPROTO;
}

/* Send @text to the target. Its answer, "" if it gave none, is to be freed. */
static int send_message(const char *name, const char *text, char **answer)
{
	struct dm_task *task = new_task(DM_DEVICE_TARGET_MSG, name);
	const char *said;
	int err = -ENOMEM;

	*answer = NULL;
	if (task && dm_task_set_sector(task, 0) && dm_task_set_message(task, text))
		err = run_task(task);
	if (!err) {
		said = dm_task_get_message_response(task);
		*answer = strdup(said ? said : "");
		err = *answer ? 0 : -ENOMEM;
	}
	if (task)
		dm_task_destroy(task);
	return err;
}

/* The same for one that is not answered. */
static int tell(const char *name, const char *text)
{
	char *answer;
	int err = send_message(name, text, &answer);

	free(answer);
	return err;
}

int activate_repair(const char *name)
{
	return tell(name, "repair");
}

int activate_migrate(const char *name, dev_t dev)
{
	char text[64];

	snprintf(text, sizeof(text), "migrate %u:%u", major(dev), minor(dev));
	return tell(name, text);
}

int activate_cancel(const char *name)
{
	return tell(name, "cancel");
}

int activate_migration(const char *name, struct migration *m)
{
	unsigned int major, minor;
	char *answer, *line;
	int err = send_message(name, "metadata_status", &answer);

	*m = (struct migration){0};
	if (err)
		return err;
	line = strstr(answer, "\nmigration ");
	if (line && sscanf(line, "\nmigration %u:%u %" SCNu64 "/%" SCNu64, &major, &minor, &m->done,
			   &m->all) == 4)
		m->to = makedev(major, minor);
	line = strstr(answer, "\nmigration_failed ");
	if (line && sscanf(line, "\nmigration_failed %u:%u %d", &major, &minor, &m->error) == 3)
		m->failed = makedev(major, minor);
	free(answer);
	return 0;
}

/* File systems need not be made to write all they have: the device is back at once. */
static int change_state(const char *name, int type)
{
	struct dm_task *task = new_task(type, name);
	int err = -ENOMEM;

	if (task && dm_task_skip_lockfs(task) && dm_task_no_flush(task))
		err = run_task(task);
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

bool activate_parse_pending(const char *answer, struct ranges *pending)
{
	uint64_t start, sectors;
	int n;

	while (sscanf(answer, "%" SCNu64 " %" SCNu64 "%n", &start, &sectors, &n) == 2) {
		if (start > RANGES_END || sectors > RANGES_END - start ||
		    ranges_add(pending, start, sectors))
			return false;
		answer += n;
	}
	ranges_merge(pending);
	return !answer[strspn(answer, " \n")];
}

int activate_pending(const char *name, struct ranges *pending)
{
	char *answer;
	int err = send_message(name, "pending", &answer);

	*pending = (struct ranges){0};
	if (!err && !activate_parse_pending(answer, pending))
		err = -EPROTO;
	free(answer);
	return err;
}

int activate_move(const char *name, const struct range *range, size_t count)
{
	char text[sizeof("remap") + ACTIVATE_MOVES * sizeof(" 18446744073709551615") * 2];
	int length = snprintf(text, sizeof(text), "remap"), err;

	for (size_t i = 0; i < count; i++)
		length += snprintf(text + length, sizeof(text) - length, " %" PRIu64 " %" PRIu64,
				   range[i].start, range[i].sectors);
	err = tell(name, text);
	log_debug("%s: %s", text, strerror(-err));
	return err;
}
