// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "active.h"
#include "command.h"
#include "decisions.h"
#include "log.h"
#include "partitions.h"
#include "task.h"

static const char usage[] = "NAME | --all [--unused]\n"
			    "Deactivate one set, or all of them.\n\n"
			    "  --all      every active set\n"
			    "  --unused   leave those that are in use, as the root at shutdown\n";

static const struct option options[] = {
	{"all", no_argument, NULL, 'a'},
	{"unused", no_argument, NULL, 'u'},
	COMMON_LONG_OPTIONS,
};

static int complain(const char *name, int err)
{
	if (err == -EBUSY)
		log_error("%s is in use; unmount it, or stop what is built on it, first ('lsblk' "
			  "shows it)",
			  printable(name));
	else
		log_error("cannot stop %s: %s", printable(name), strerror(-err));
	return EXIT_FAILED;
}

static int stop_one(const struct active_set *set)
{
	char part[DMR_NAME_SIZE + 16];
	int parts = partitions_unmap(set, part, sizeof(part)), err;

	if (parts < 0)
		return complain(part, parts);
	err = task_unmap(set->name);
	if (err) {
		partitions_map(set);
		return complain(set->name, err);
	}
	if (parts)
		partitions_return(set->main);
	log_info("%s is stopped", printable(set->name));
	return EXIT_FINE;
}

static int stop_all(bool unused)
{
	struct active_set *sets;
	int n = active_list_or_complain(&sets), status = EXIT_FINE;

	if (n < 0)
		return EXIT_FAILED;
	for (int i = 0; i < n; i++) {
		/* not only to find out by trying: that takes a while */
		if (unused && partitions_used(&sets[i]))
			log_debug("%s is in use", printable(sets[i].name));
		else
			status |= stop_one(&sets[i]);
	}
	free(sets);
	return status;
}

static int stop_named(const char *name)
{
	struct active_set set;
	int status = active_find(name, &set);

	return status ? status : stop_one(&set);
}

int cmd_stop(int argc, char **argv)
{
	bool all = false, unused = false;
	int c, lock, status;

	while ((c = getopt_long(argc, argv, COMMON_SHORT_OPTIONS, options, NULL)) != -1) {
		if (c == 'a')
			all = true;
		else if (c == 'u')
			unused = true;
		else
			common_option(c, argv, usage);
	}
	if (all ? optind != argc : optind + 1 != argc || unused)
		return usage_error(argv, "name one set, or --all");
	lock = decisions_lock();
	if (lock < 0)
		return EXIT_FAILED;
	status = all ? stop_all(unused) : stop_named(argv[optind]);
	close(lock);
	return status;
}
