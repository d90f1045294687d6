// SPDX-License-Identifier: GPL-2.0-only
#include <stdlib.h>
#include <unistd.h>

#include "active.h"
#include "copies.h"
#include "decisions.h"
#include "log.h"
#include "member.h"
#include "probe.h"
#include "remembered.h"
#include "sysfs.h"

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

/* A device that an active set holds is its spare or its main, whatever the config says. */
static enum member held(const struct device *d, uuid_t set)
{
	uuid_t ignored;

	if (!active_holder(d->dev, set))
		return MEMBER_NONE;
	return is_spare(d, ignored) ? MEMBER_SPARE : MEMBER_MAIN;
}

/* The boot goes on without what it could not activate, as the user has allowed it to. */
static bool gone_raw(const struct policy *policy)
{
	return policy->allow_raw && !access(DMREMAP_RUN_DIR "/raw", F_OK);
}

static enum member main_or_held(struct device *d, const struct policy *policy, uuid_t set)
{
	if (policy->enabled && !policy->dry_run && !gone_raw(policy) && !device_used(d) &&
	    (is_named(d, policy, set) || is_awaited(d, policy, set)))
		return MEMBER_MAIN;
	/* it may have been activated meanwhile */
	return held(d, set);
}

/* What is on a partition of a main is reached by way of the set, too. */
enum member member_of(struct device *d, uuid_t set)
{
	struct policy policy;
	struct device disk;
	char path[64];
	bool part = d->part_number && sysfs_node(d->disk, path, sizeof(path)) &&
		    !device_read(&disk, path);
	enum member found = held(d, set);

	if (!found && part)
		found = held(&disk, set);
	/* a bare main in use is left alone, as is a file system where a spare once was: the system runs from it */
	if (!found && !device_used(d) && is_spare(d, set))
		found = MEMBER_SPARE;
	if (found)
		return found;
	policy_read(&policy, in_initramfs());
	found = main_or_held(d, &policy, set);
	if (!found && part)
		found = main_or_held(&disk, &policy, set);
	policy_free(&policy);
	return found;
}
