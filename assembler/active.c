// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "active.h"
#include "command.h"
#include "log.h"
#include "sysfs.h"
#include "task.h"

/* Fill in the members of @set from its table. */
static void read_members(struct active_set *set)
{
	unsigned int main_major, main_minor, spare_major, spare_minor;
	char *table = task_params(set->name, DM_DEVICE_TABLE);
	bool found = table && sscanf(table, "%u:%u %u:%u", &main_major, &main_minor, &spare_major,
				     &spare_minor) == 4;

	set->main = found ? makedev(main_major, main_minor) : 0;
	set->spare = found ? makedev(spare_major, spare_minor) : 0;
	free(table);
}

/* The set that a DM device of this UUID is; false if it is none. */
static bool parse_dm_uuid(const char *text, uuid_t set)
{
	return !strncmp(text, UUID_PREFIX, strlen(UUID_PREFIX)) &&
	       !uuid_parse(text + strlen(UUID_PREFIX), set);
}

/* Ask for the UUID and number of one device; false if it isn't a set, or one whose activation was cut short. */
static bool inspect(const char *name, struct active_set *set)
{
	char uuid[DM_UUID_LEN];
	struct dm_info info;

	if (!task_info(name, &info, uuid) || !info.live_table || !parse_dm_uuid(uuid, set->uuid))
		return false;
	snprintf(set->name, sizeof(set->name), "%s", name);
	set->dev = makedev(info.major, info.minor);
	read_members(set);
	return true;
}

int active_list(struct active_set **list)
{
	struct active_set *sets = NULL, *more;
	struct dm_names *names;
	struct dm_task *task;
	int n = 0, err;

	*list = NULL;
	if (!task_possible())
		return 0;
	task = task_new(DM_DEVICE_LIST, NULL);
	if (!task)
		return -ENOMEM;
	err = task_run(task);
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

int active_list_or_complain(struct active_set **list)
{
	int n = active_list(list);

	if (n < 0)
		log_error("cannot list the active sets: %s", strerror(-n));
	return n;
}

/* 1 if an active set is called @name, 0 if none is, or a negative errno. */
static int lookup(const char *name, struct active_set *set)
{
	struct active_set *sets;
	int n = active_list(&sets), found = n < 0 ? n : 0;

	for (int i = 0; i < n; i++) {
		if (strcmp(sets[i].name, name))
			continue;
		*set = sets[i];
		found = 1;
	}
	free(sets);
	return found;
}

bool active_lookup(const char *name, struct active_set *set)
{
	return lookup(name, set) > 0;
}

bool active_is_set(const char *dm_uuid)
{
	int skip = 0;

	sscanf(dm_uuid, "part%*d-%n", &skip);
	return !strncmp(dm_uuid + skip, UUID_PREFIX, strlen(UUID_PREFIX));
}

bool active_holder(dev_t dev, uuid_t set)
{
	dev_t holder[16];
	int n = sysfs_related(dev, "holders", holder, 16);
	char uuid[UUID_STR_LEN + sizeof(UUID_PREFIX)];

	for (int i = 0; i < n; i++) {
		if (sysfs_text(holder[i], "dm/uuid", uuid, sizeof(uuid)) &&
		    parse_dm_uuid(uuid, set))
			return true;
	}
	return false;
}

int active_find(const char *name, struct active_set *set)
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

bool active_parse_status(const char *params, struct active_status *s)
{
	return sscanf(params,
		      "%15s %15s %" SCNu64 "/%" SCNu64 " %" SCNu64 " %" SCNu64 " %u/5 %" SCNu64
		      " %" SCNu64 " %" SCNu64 " %15s %" SCNu64 " %" SCNu64,
		      s->mode, s->health, &s->remapped_sectors, &s->spare_sectors, &s->extents,
		      &s->pending_sectors, &s->valid_copies, &s->generation, &s->repairs,
		      &s->scrubs, s->action, &s->scrubbed_sectors, &s->unreadable_sectors) >= 10;
}

int active_status(const struct active_set *set, struct active_status *s)
{
	char *line = task_params(set->name, DM_DEVICE_STATUS);
	bool understood = false;

	memset(s, 0, sizeof(*s));
	if (line)
		understood = active_parse_status(line, s);
	s->spare_free_sectors = sysfs_number(set->dev, "remap/spare_free_sectors",
					     s->spare_sectors - s->remapped_sectors);
	s->last_repair_time = sysfs_number(set->dev, "remap/last_repair_time", 0);
	free(line);
	return understood ? 0 : -EPROTO;
}

/* The same for one that is not answered. */
static int tell(const char *name, const char *text)
{
	char *answer;
	int err = task_message(name, text, &answer);

	free(answer);
	return err;
}

int active_repair(const char *name)
{
	return tell(name, "repair");
}

int active_migrate(const char *name, dev_t dev)
{
	char text[64];

	snprintf(text, sizeof(text), "migrate %u:%u", major(dev), minor(dev));
	return tell(name, text);
}

int active_cancel(const char *name)
{
	return tell(name, "cancel");
}

int active_migration(const char *name, struct migration *m)
{
	unsigned int major, minor;
	char *answer, *line;
	int err = task_message(name, "metadata_status", &answer);

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

bool active_parse_pending(const char *answer, struct ranges *pending)
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

int active_pending(const char *name, struct ranges *pending)
{
	char *answer;
	int err = task_message(name, "pending", &answer);

	*pending = (struct ranges){0};
	if (!err && !active_parse_pending(answer, pending))
		err = -EPROTO;
	free(answer);
	return err;
}

int active_move(const char *name, const struct range *range, size_t count)
{
	char text[sizeof("remap") + ACTIVE_MOVES * sizeof(" 18446744073709551615") * 2];
	int length = snprintf(text, sizeof(text), "remap"), err;

	for (size_t i = 0; i < count; i++)
		length += snprintf(text + length, sizeof(text) - length, " %" PRIu64 " %" PRIu64,
				   range[i].start, range[i].sectors);
	err = tell(name, text);
	log_debug("%s: %s", text, strerror(-err));
	return err;
}
