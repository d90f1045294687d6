// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/dm-ioctl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "active.h"
#include "changes.h"
#include "command.h"
#include "log.h"
#include "sysfs.h"

#define CONTROL "/dev/mapper/control"
#define SOON    1000 /* milliseconds to a set that is being made */

static const char usage[] =
	"[--program PROGRAM] [--interval SECONDS] [--oneshot] [--test]\n"
	"Watch the active sets, and say what happens to them, a line each. What is wrong already\n"
	"is said first.\n\n"
	"  --program P    also run P EVENT NAME, one after the other; the facts are in "
	"DMREMAP_EVENT,\n"
	"                 DMREMAP_NAME, DMREMAP_UUID, DMREMAP_DEVICE, DMREMAP_MAIN, "
	"DMREMAP_SPARE,\n"
	"                 DMREMAP_MODE, DMREMAP_HEALTH, DMREMAP_VALID_COPIES and DMREMAP_MESSAGE\n"
	"  --interval N   look at least every N seconds (60), also if nothing was reported\n"
	"  --oneshot      look once, and end\n"
	"  --test         begin with the event 'test' for each set, to try the program\n\n"
	"Events: active, gone, mode, health, copies, repair, moved, pending, unreadable,\n"
	"migration, spare, test.\n";

static const struct option options[] = {
	{"program", required_argument, NULL, 'p'},
	{"interval", required_argument, NULL, 'i'},
	{"oneshot", no_argument, NULL, '1'},
	{"test", no_argument, NULL, 't'},
	COMMON_LONG_OPTIONS,
};

struct watch {
	const char *program;
	unsigned int interval; /* seconds */
	bool oneshot, test;
};

/* A set as it was last seen. */
struct seen {
	struct active_set set;
	struct view view;
};

struct sets {
	struct seen *seen;
	int count;
	bool unready; /* there is one more, which does not answer yet */
};

static void export_text(const char *name, const char *value)
{
	setenv(name, value, true);
}

/* In the child. */
static void export_facts(const struct seen *s, const char *event, const char *sentence)
{
	char uuid[UUID_STR_LEN], device[DMR_NAME_SIZE + 16], copies[16], main[256] = "";

	uuid_unparse_lower(s->set.uuid, uuid);
	snprintf(device, sizeof(device), "/dev/mapper/%s", s->set.name);
	snprintf(copies, sizeof(copies), "%u", s->view.status.valid_copies);
	sysfs_node(s->set.main, main, sizeof(main));
	export_text("DMREMAP_EVENT", event);
	export_text("DMREMAP_NAME", s->set.name);
	export_text("DMREMAP_UUID", uuid);
	export_text("DMREMAP_DEVICE", device);
	export_text("DMREMAP_MAIN", main);
	export_text("DMREMAP_SPARE", s->view.spare);
	export_text("DMREMAP_MODE", s->view.status.mode);
	export_text("DMREMAP_HEALTH", s->view.status.health);
	export_text("DMREMAP_VALID_COPIES", copies);
	export_text("DMREMAP_MESSAGE", sentence);
}

static void run_program(const char *program, const struct seen *s, const char *event,
			const char *sentence)
{
	pid_t child = fork();
	int status;

	if (!child) {
		export_facts(s, event, sentence);
		execlp(program, program, event, s->set.name, NULL);
		log_error("cannot run %s: %s", printable(program), strerror(errno));
		_exit(127);
	}
	if (child < 0)
		log_error("cannot run %s: %s", printable(program), strerror(errno));
	else if (waitpid(child, &status, 0) == child && status)
		log_info("%s ended with status %d", printable(program),
			 WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static void tell(const struct watch *w, const struct seen *s, const char *event,
		 const char *sentence)
{
	char line[CHANGE_TEXT + DMR_NAME_SIZE * 4]; /* with the name, escaped */

	snprintf(line, sizeof(line), "%s %s", printable(s->set.name), sentence);
	printf("%s: %s\n", event, line);
	fflush(stdout);
	if (w->program)
		run_program(w->program, s, event, line);
}

static void tell_changes(const struct watch *w, const struct view *before, const struct seen *now)
{
	struct change changes[CHANGES_MAX];
	size_t count = changes_find(before, &now->view, changes);

	for (size_t i = 0; i < count; i++)
		tell(w, now, changes[i].event, changes[i].sentence);
}

static const struct seen *find(const struct sets *sets, const struct active_set *set)
{
	for (int i = 0; i < sets->count; i++)
		if (!uuid_compare(sets->seen[i].set.uuid, set->uuid) &&
		    sets->seen[i].set.dev == set->dev)
			return &sets->seen[i];
	return NULL;
}

/* Returns 0 or a negative errno: it does not answer. */
static int view(const struct active_set *set, struct view *v)
{
	struct migration m;
	int err = active_status(set, &v->status);

	if (!err)
		err = active_migration(set->name, &m);
	if (err)
		return err;
	sysfs_node(set->spare, v->spare, sizeof(v->spare));
	sysfs_node(m.to, v->incoming, sizeof(v->incoming));
	sysfs_node(m.failed, v->refused, sizeof(v->refused));
	v->refusal = m.error;
	return 0;
}

/* All sets that answer; one that is suspended, or about to go, is as it was. */
static int look(struct sets *now, const struct sets *before)
{
	struct active_set *sets;
	int n = active_list(&sets);

	*now = (struct sets){0};
	if (n < 0)
		return n;
	now->seen = calloc(n + 1, sizeof(*now->seen));
	for (int i = 0; now->seen && i < n; i++) {
		const struct seen *old = find(before, &sets[i]);
		struct seen *s = &now->seen[now->count];

		s->set = sets[i];
		if (view(&sets[i], &s->view)) {
			if (!old) {
				now->unready = true;
				continue;
			}
			s->view = old->view;
		}
		now->count++;
	}
	free(sets);
	return now->seen ? 0 : -ENOMEM;
}

/* Tell what has changed since @sets, which become what there is now. */
static int look_again(const struct watch *w, struct sets *sets, bool first)
{
	struct sets now;
	int err = look(&now, sets);

	if (err) {
		log_error("cannot list the active sets: %s", strerror(-err));
		free(now.seen);
		return err;
	}
	for (int i = 0; i < sets->count; i++)
		if (!find(&now, &sets->seen[i].set))
			tell(w, &sets->seen[i], "gone", "is not active any more");
	for (int i = 0; i < now.count; i++) {
		const struct seen *old = find(sets, &now.seen[i].set);

		if (!old && !first)
			tell(w, &now.seen[i], "active", "is active");
		if (first && w->test)
			tell(w, &now.seen[i], "test", "is watched; this is a test");
		tell_changes(w, old ? &old->view : NULL, &now.seen[i]);
	}
	free(sets->seen);
	*sets = now;
	return 0;
}

/* From now on, poll() returns when any device-mapper device has had an event. */
static int arm(int control)
{
	struct dm_ioctl request = {
		.version = {DM_VERSION_MAJOR, 0, 0},
		.data_start = sizeof(request),
		.data_size = sizeof(request),
	};

	return ioctl(control, DM_DEV_ARM_POLL, &request) ? -errno : 0;
}

static int watch(const struct watch *w)
{
	struct sets sets = {0};
	struct pollfd control = {.events = POLLIN};
	int err = 0;

	control.fd = open(CONTROL, O_RDWR | O_CLOEXEC);
	if (control.fd < 0 && !w->oneshot) {
		log_error("cannot open " CONTROL ": %s", strerror(errno));
		return EXIT_FAILED;
	}
	for (bool first = true; !err; first = false) {
		/* before it looks, so that nothing is missed between */
		err = w->oneshot ? 0 : arm(control.fd);
		if (err)
			log_error("cannot wait for events: %s", strerror(-err));
		else
			err = look_again(w, &sets, first);
		if (w->oneshot)
			break;
		/* device-mapper has an event for the making of a device, and none for its first table */
		poll(&control, 1, sets.unready ? SOON : w->interval * 1000);
	}
	if (control.fd >= 0)
		close(control.fd);
	free(sets.seen);
	return err ? EXIT_FAILED : EXIT_FINE;
}

int cmd_monitor(int argc, char **argv)
{
	struct watch w = {.interval = 60};
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, COMMON_SHORT_OPTIONS, options, NULL)) != -1) {
		switch (c) {
		case 'p':
			w.program = optarg;
			break;
		case 'i':
			w.interval = strtoul(optarg, &end, 10);
			if (*end || !w.interval || w.interval > 86400)
				return usage_error(argv,
						   "'%s' is not a number of seconds up to 86400",
						   printable(optarg));
			break;
		case '1':
			w.oneshot = true;
			break;
		case 't':
			w.test = true;
			break;
		default:
			common_option(c, argv, usage);
		}
	}
	if (optind < argc)
		return usage_error(argv, "it takes no arguments: all sets are watched");
	return watch(&w);
}
