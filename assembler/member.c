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

/* A spare is known by any valid superblock at its place. @lost_start: there is none where the first one was. */
static bool holds_copies(const struct device *d, uuid_t set, bool *lost_start)
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
		*lost_start = copies_lost_start(&c);
	}
	copies_free(&c);
	close(fd);
	return found;
}

static bool is_named_spare(struct device *d, const uuid_t set)
{
	const struct named_set *named;
	struct policy policy;
	bool found;

	policy_read(&policy, in_initramfs());
	named = policy_find(&policy, set);
	if (named)
		probe_partition(d);
	found = named && named->spare.count && tags_match(&named->spare, d);
	policy_free(&policy);
	return found;
}

/* The copies may be left on a device that is something else by now, or lie in its files: see spare_doubtful(). */
static bool is_spare(struct device *d, uuid_t set)
{
	char signature[32];
	bool lost_start;

	if (!holds_copies(d, set, &lost_start))
		return false;
	return !lost_start || probe_signature(d, signature, sizeof(signature)) <= 0 ||
	       is_named_spare(d, set);
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

/*
 * @decision makes @dev a main: it would be activated, or could be, if it were not in use. Whoever has it in use
 * was quicker than the set.
 */
static bool claims(const struct decision *decision, dev_t dev)
{
	if (!decision->main || decision->main->dev != dev)
		return false;
	return decision->kind == DECIDE_ACTIVATE || decision->kind == DECIDE_CONFLICT ||
	       (decision->kind == DECIDE_SKIP && *decision->main->in_use);
}

/*
 * Or by a spare that is there. That a set is to be activated nobody has to have said, for its main to be no disk
 * like any other; that it is to be left alone is said by auto=0.
 */
static bool is_awaited(struct device *d, const struct policy *policy, uuid_t set)
{
	struct policy all = *policy;
	struct decision *decisions;
	struct inventory inv;
	bool found = false;
	int n;

	if (all.auto_mode == AUTO_DEFAULT)
		all.auto_mode = AUTO_ON;
	n = decisions_preview(&inv, &all, d->path, &decisions);
	for (int i = 0; i < n && !found; i++) {
		found = claims(&decisions[i], d->dev);
		if (found)
			uuid_copy(set, decisions[i].uuid);
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
	bool lost_start;

	if (!active_holder(d->dev, set))
		return MEMBER_NONE;
	return holds_copies(d, ignored, &lost_start) ? MEMBER_SPARE : MEMBER_MAIN;
}

/* The boot goes on without what it could not activate, as the user has allowed it to. */
static bool gone_raw(const struct policy *policy)
{
	return policy->allow_raw && !access(DMREMAP_RUN_DIR "/raw", F_OK);
}

static bool is_main(struct device *d, const struct policy *policy, uuid_t set)
{
	return policy->enabled && !policy->dry_run && !gone_raw(policy) &&
	       (is_named(d, policy, set) || is_awaited(d, policy, set));
}

static enum member main_or_held(struct device *d, const struct policy *policy, uuid_t set)
{
	if (!device_used(d) && is_main(d, policy, set))
		return MEMBER_MAIN;
	/* it may have been activated meanwhile */
	return held(d, set);
}

/* The disk of a partition. */
static bool read_disk(const struct device *d, struct device *disk)
{
	return d->part_number && !device_read_number(disk, d->disk);
}

/* What is on a partition of a main is reached by way of the set, too. */
enum member member_of(struct device *d, uuid_t set)
{
	struct policy policy;
	struct device disk;
	bool part = read_disk(d, &disk);
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

static bool lies_on_main(dev_t dev, const struct policy *policy, uuid_t set)
{
	dev_t below[MAX_RELATED];
	struct device d, disk;
	bool found;
	int n;

	if (device_read_number(&d, dev) || active_is_set(d.dm_uuid))
		return false;
	/* device-mapper lets others have the main of an active set, too */
	found = active_holder(d.dev, set) || is_main(&d, policy, set) ||
		(read_disk(&d, &disk) &&
		 (active_holder(disk.dev, set) || is_main(&disk, policy, set)));
	n = sysfs_related(d.disk, "slaves", below, MAX_RELATED);
	for (int i = 0; i < n && !found; i++)
		found = lies_on_main(below[i], policy, set);
	return found;
}

bool member_below(dev_t dev, uuid_t set)
{
	struct policy policy;
	bool found;

	policy_read(&policy, in_initramfs());
	found = lies_on_main(dev, &policy, set);
	policy_free(&policy);
	return found;
}
