// SPDX-License-Identifier: GPL-2.0-only
/* What the udev rule asks for every block device. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

#include "active.h"
#include "command.h"
#include "member.h"
#include "probe.h"

static const char usage[] =
	"DEVICE\n"
	"Print udev properties of a device that is a member of a set. For the udev rule; always\n"
	"succeeds, and prints nothing for other devices.\n";

static const struct option options[] = {
	COMMON_LONG_OPTIONS,
};

/* The set's own device stands for its main, also in links by PARTUUID, which no table on it tells. */
static void print_main_partuuid(const struct device *d)
{
	struct active_set *sets;
	int n = active_list(&sets);
	struct device member;

	for (int i = 0; i < n; i++) {
		if (sets[i].dev != d->dev || device_read_number(&member, sets[i].main))
			continue;
		probe_partition(&member);
		if (*member.partuuid)
			printf("DM_REMAP_PARTUUID=%s\n", member.partuuid);
	}
	if (n >= 0)
		free(sets);
}

static void print_member(struct device *d)
{
	char uuid[UUID_STR_LEN];
	uuid_t set;
	enum member role = member_of(d, set);

	if (!role)
		return;
	uuid_unparse_lower(set, uuid);
	printf("ID_FS_TYPE=dm_remap_%s\nID_FS_USAGE=raid\nSYSTEMD_READY=0\nDM_REMAP_SET=%s\n",
	       role == MEMBER_SPARE ? "spare" : "main", uuid);
}

int cmd_udev(int argc, char **argv)
{
	struct device device;
	int c;

	while ((c = getopt_long(argc, argv, COMMON_SHORT_OPTIONS, options, NULL)) != -1)
		common_option(c, argv, usage);
	if (optind + 1 != argc)
		return usage_error(argv, "name exactly one device");

	if (device_read(&device, argv[optind]) || device.is_file)
		return EXIT_FINE;
	if (!strncmp(device.dm_uuid, UUID_PREFIX, strlen(UUID_PREFIX)))
		print_main_partuuid(&device);
	print_member(&device);
	return EXIT_FINE;
}
