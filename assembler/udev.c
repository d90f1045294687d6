// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the udev rule asks for every block device. It must be quick, and when unsure it says nothing:
 * a device wrongly taken for a member is a system that doesn't boot.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "active.h"
#include "command.h"
#include "copies.h"
#include "decisions.h"
#include "log.h"
#include "probe.h"
#include "remembered.h"
#include "sysfs.h"

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

/*
 * A spare is known by any valid superblock at its place. Old ones may be left on a device that is
 * something else by now.
 */
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

/* A main is known by the tags of its set in the config. */
static bool is_named(struct device *d, const struct policy *policy, uuid_t set)
{
	if (policy->set_count)
		probe_partition(d);
	for (size_t i = 0; i < policy->set_count; i++) {
		if (!tags_match(&policy->sets[i].main, d))
			continue;
		uuid_copy(set, policy->sets[i].uuid);
		return true;
	}
	return false;
}

/* Or by a spare that is there, with which it would be activated, or could be. */
static bool is_awaited(struct device *d, const struct policy *policy, uuid_t set)
{
	struct decision *decisions;
	struct inventory inv;
	int n = decisions_preview(&inv, policy, d->path, &decisions);
	bool found = false;

	for (int i = 0; i < n && !found; i++) {
		const struct decision *decision = &decisions[i];

		if ((decision->kind != DECIDE_ACTIVATE && decision->kind != DECIDE_CONFLICT) ||
		    !decision->main || decision->main->dev != d->dev)
			continue;
		uuid_copy(set, decision->uuid);
		found = true;
	}
	/* a spare that can't be read just now doesn't tell: then the main stays what it was */
	if (!found && inv.unread)
		found = remembered_member(d->dev, set) && remembered_set(set);
	free(decisions);
	inventory_free(&inv);
	return found;
}

/* The set's own device stands for its main, also in links by PARTUUID, which no table on it tells. */
static void print_main_partuuid(const struct device *d)
{
	struct active_set *sets;
	int n = active_list(&sets);
	struct device member;
	char path[64];

	for (int i = 0; i < n; i++) {
		if (sets[i].dev != d->dev || !sysfs_node(sets[i].main, path, sizeof(path)) ||
		    device_read(&member, path))
			continue;
		probe_partition(&member);
		if (*member.partuuid)
			printf("DM_REMAP_PARTUUID=%s\n", member.partuuid);
	}
	if (n >= 0)
		free(sets);
}

/* A device that an active set holds is its spare or its main, whatever the config says. */
static bool print_if_held(const struct device *d)
{
	uuid_t set, ignored;

	if (!active_holder(d->dev, set))
		return false;
	print_properties(is_spare(d, ignored) ? "spare" : "main", set);
	return true;
}

/* A bare main that is in use is left alone, as is a file system where a spare once was: the system runs from it. */
static bool print_if_spare(const struct device *d)
{
	uuid_t set;

	if (device_used(d) || !is_spare(d, set))
		return false;
	print_properties("spare", set);
	return true;
}

/* The boot goes on without what it could not activate, as the user has allowed it to. */
static bool gone_raw(const struct policy *policy)
{
	return policy->allow_raw && !access(DMREMAP_RUN_DIR "/raw", F_OK);
}

static bool print_if_main(struct device *d, const struct policy *policy)
{
	uuid_t set;

	if (policy->enabled && !policy->dry_run && !gone_raw(policy) && !device_used(d) &&
	    (is_named(d, policy, set) || is_awaited(d, policy, set))) {
		print_properties("main", set);
		return true;
	}
	/* it may have been activated meanwhile */
	return print_if_held(d);
}

/* What is on a partition of a main is reached by way of the set, too. */
static void print_member(struct device *d)
{
	struct policy policy;
	struct device disk;
	char path[64];
	bool part = d->part_number && sysfs_node(d->disk, path, sizeof(path)) &&
		    !device_read(&disk, path);

	if (print_if_held(d) || (part && print_if_held(&disk)) || print_if_spare(d))
		return;
	policy_read(&policy, in_initramfs());
	if (!print_if_main(d, &policy) && part)
		print_if_main(&disk, &policy);
	policy_free(&policy);
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
