// SPDX-License-Identifier: GPL-2.0-only
/* What an initramfs has to use in place of the device that it was told to. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "active.h"
#include "command.h"
#include "log.h"
#include "member.h"
#include "partitions.h"
#include "sysfs.h"

static const char usage[] =
	"DEVICE\n"
	"What to use in place of DEVICE, the path of a block device. Print the set's\n"
	"device if DEVICE is one, or is the main of an active set, or a partition of\n"
	"that. Print nothing if it is none of these. Fail if it is the main of a set that\n"
	"is not active, or is built on a bare main.\n";

static const struct option options[] = {
	COMMON_LONG_OPTIONS,
};

/*
 * @path may be a partition that the kernel has no longer, as a set has taken its disk: turn it into that of the
 * disk, and return the number. 0 if it can't be one.
 */
static int cut_partition(char *path)
{
	static const char link[] = "-part";
	size_t n = strlen(path), end = n;
	int number;

	while (n && isdigit((unsigned char)path[n - 1]))
		n--;
	if (n == end || sscanf(path + n, "%9d", &number) != 1)
		return 0;
	path[n] = '\0';
	if (n > strlen(link) && !strcmp(path + n - strlen(link), link))
		path[n - strlen(link)] = '\0';
	else if (n > 1 && path[n - 1] == 'p' && isdigit((unsigned char)path[n - 2]))
		path[n - 1] = '\0';
	return number;
}

/* The device of partition @number, or of all of it with 0, in the active set that has the main @main; 0 if none. */
static dev_t in_place_of(dev_t main, int number)
{
	struct active_set *sets;
	int n = active_list(&sets);
	dev_t found = 0;

	for (int i = 0; i < n; i++) {
		if (sets[i].main == main)
			found = number ? partitions_device(&sets[i], number) : sets[i].dev;
	}
	if (n >= 0)
		free(sets);
	return found;
}

static bool is_active(const uuid_t set)
{
	struct active_set *sets;
	int n = active_list(&sets);
	bool found = false;

	for (int i = 0; i < n; i++)
		found |= !uuid_compare(sets[i].uuid, set);
	if (n >= 0)
		free(sets);
	return found;
}

static void complain(const char *path, const uuid_t set)
{
	char uuid[UUID_STR_LEN];

	uuid_unparse_lower(set, uuid);
	if (is_active(set))
		log_error("%s is on the bare main of set %s, not on the set, which is active: what "
			  "was quicker than it, LVM perhaps, has to be deactivated",
			  path, uuid);
	else
		log_error("%s is, or is on, the main of set %s, which is not active: 'dmremap "
			  "assemble %s'",
			  path, uuid, uuid);
}

static int resolve(char *path)
{
	char name[DMR_NAME_SIZE + 16], asked[sizeof(((struct device *)0)->path)];
	struct device d;
	uuid_t set;
	int number = 0;
	dev_t dev;

	snprintf(asked, sizeof(asked), "%s", path);
	if (access(path, F_OK))
		number = cut_partition(path);
	if (device_read(&d, path) || d.is_file)
		return EXIT_FINE;
	dev = !number && active_is_set(d.dm_uuid) ? d.dev : in_place_of(d.dev, number);
	if (!dev && d.part_number)
		dev = in_place_of(d.disk, d.part_number);
	if (dev && sysfs_text(dev, "dm/name", name, sizeof(name))) {
		printf("/dev/mapper/%s\n", name);
		return EXIT_FINE;
	}
	if (!member_below(d.dev, set))
		return EXIT_FINE;
	complain(printable(asked), set);
	return EXIT_UNDONE;
}

int cmd_resolve(int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, COMMON_SHORT_OPTIONS, options, NULL)) != -1)
		common_option(c, argv, usage);
	if (optind + 1 != argc)
		return usage_error(argv, "name exactly one device");
	return resolve(argv[optind]);
}
