// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the udev rule asks for every block device. It must be quick, and when unsure it says nothing:
 * a device wrongly taken for a member is a system that doesn't boot.
 */
#include <stdio.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "command.h"
#include "copies.h"
#include "device.h"
#include "log.h"
#include "policy.h"
#include "probe.h"

static const char usage[] =
	"DEVICE\n"
	"Print udev properties of a device that is a member of a set. For the udev rule; always\n"
	"succeeds, and prints nothing for other devices.\n";

static const struct option options[] = {
	COMMON_LONG_OPTIONS,
};

static void print_properties(const char *role, const uuid_t set)
{
	char uuid[UUID_STR_LEN];

	uuid_unparse_lower(set, uuid);
	printf("ID_FS_TYPE=dm_remap_%s\nID_FS_USAGE=raid\nSYSTEMD_READY=0\nDM_REMAP_SET=%s\n", role,
	       uuid);
}

/* A spare is known by any valid superblock at its place. */
static bool is_spare(const struct device *d, uuid_t set)
{
	struct copies c;
	bool found = false;
	int fd = device_open(d, false);

	if (fd < 0)
		return false;
	if (!copies_read_super(&c, fd, d->sectors, NULL)) {
		for (int k = 0; !found && k < DMR_COPIES; k++) {
			if (c.fault[k] != DMR_OK && c.fault[k] != DMR_STALE &&
			    c.fault[k] != DMR_SPLIT)
				continue;
			uuid_copy(set, c.super[k].header.uuid);
			found = true;
		}
	}
	copies_free(&c);
	close(fd);
	return found;
}

/* A main is known by the tags of its set in the config. One that is mounted is left alone. */
static bool is_main(struct device *d, uuid_t set)
{
	struct policy policy;
	bool found = false;

	policy_read(&policy, in_initramfs());
	if (policy.enabled && policy.set_count)
		probe_ids(d);
	for (size_t i = 0; policy.enabled && !found && i < policy.set_count; i++) {
		if (!tags_match(&policy.sets[i].main, d))
			continue;
		uuid_copy(set, policy.sets[i].uuid);
		found = !device_mounted(d);
	}
	policy_free(&policy);
	return found;
}

int cmd_udev(int argc, char **argv)
{
	struct device device;
	uuid_t set;
	int c;

	while ((c = getopt_long(argc, argv, COMMON_SHORT_OPTIONS, options, NULL)) != -1)
		common_option(c, argv, usage);
	if (optind + 1 != argc)
		return usage_error(argv, "name exactly one device");

	if (device_read(&device, argv[optind]) || device.is_file)
		return EXIT_FINE;
	if (is_spare(&device, set))
		print_properties("spare", set);
	else if (is_main(&device, set))
		print_properties("main", set);
	return EXIT_FINE;
}
