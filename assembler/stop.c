// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "activate.h"
#include "active.h"
#include "command.h"
#include "log.h"

static const char usage[] = "NAME | --all\n"
			    "Deactivate one set, or all of them.\n\n"
			    "  --all   every active set\n";

static const struct option options[] = {
	{"all", no_argument, NULL, 'a'},
	COMMON_LONG_OPTIONS,
};

static int stop_one(const char *name)
{
	int err = activate_remove(name);

	switch (err) {
	case 0:
		log_info("%s is stopped", printable(name));
		return EXIT_FINE;
	case -EBUSY:
		log_error("%s is in use; unmount it, or stop what is built on it, first ('lsblk' "
			  "shows it)",
			  printable(name));
		return EXIT_FAILED;
	default:
		log_error("cannot stop %s: %s", printable(name), strerror(-err));
		return EXIT_FAILED;
	}
}

static int stop_all(void)
{
	struct active_set *sets;
	int n = active_list_or_complain(&sets), status = EXIT_FINE;

	if (n < 0)
		return EXIT_FAILED;
	for (int i = 0; i < n; i++)
		status |= stop_one(sets[i].name);
	free(sets);
	return status;
}

static int stop_named(const char *name)
{
	struct active_set set;
	int status = active_find(name, &set);

	return status ? status : stop_one(name);
}

int cmd_stop(int argc, char **argv)
{
	bool all = false;
	int c;

	while ((c = getopt_long(argc, argv, COMMON_SHORT_OPTIONS, options, NULL)) != -1) {
		if (c == 'a')
			all = true;
		else
			common_option(c, argv, usage);
	}
	if (all ? optind != argc : optind + 1 != argc)
		return usage_error(argv, "name one set, or --all");
	return all ? stop_all() : stop_named(argv[optind]);
}
