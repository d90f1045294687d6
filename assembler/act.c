// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "act.h"
#include "activate.h"
#include "command.h"
#include "log.h"
#include "mend.h"
#include "partitions.h"
#include "sysfs.h"

#define ENOUGH_COPIES 2 /* whole ones, to go on after a repair that failed */

const char *repair_text(enum repair_result repair)
{
	static const char *const text[] = {"none", "needed", "done", "failed"};

	return text[repair];
}

static void give_up(struct decision *d, struct outcome *o, enum decision_kind kind, int status,
		    const char *why)
{
	d->kind = kind;
	snprintf(d->reason, sizeof(d->reason), "%s", why);
	o->status |= status | EXIT_UNDONE;
}

/*
 * Mend the copies on @device, as it is now and not as it was when it was first read. With @replaced it
 * is made the set's own, see mend_copies(). @now, if not NULL, is the superblock that it has then. Returns
 * 0 if all five copies are whole, or a negative errno.
 */
static int mend_device(const struct device *device, const uint8_t *uuid,
		       const struct dmr_super *replaced, struct dmr_super *now, struct outcome *o)
{
	struct mend_result r;
	struct copies c;
	unsigned int before;
	int fd, err;

	fd = device_open(device, true);
	if (fd < 0)
		return fd;
	err = copies_read(&c, fd, device->sectors, uuid);
	before = copies_valid(&c);
	if (!err && (c.verdict == VERDICT_REPAIRABLE || replaced)) {
		err = mend_copies(&c, replaced, time(NULL), &r);
		copies_free(&c);
		if (!err)
			err = copies_read(&c, fd, device->sectors, uuid);
	}
	if (!err) {
		o->valid_copies = copies_valid(&c);
		o->repaired_copies = o->valid_copies > before ? o->valid_copies - before : 0;
		if (c.verdict != VERDICT_CLEAN)
			err = -EIO;
		if (now && copies_super(&c))
			*now = *copies_super(&c);
	}
	copies_free(&c);
	close(fd);
	return err;
}

/* All copies of the spare that was replaced say so, or it could pass for the set's own one day. */
static void retire(const struct decision *d, struct dmr_super *now)
{
	struct outcome ignored;
	int err = mend_device(d->replaced->device, d->uuid, NULL, now, &ignored);

	if (err)
		log_error("%s: the spare that was replaced, %s, could not be marked in all of its "
			  "copies (%s): do not leave it in this machine",
			  d->name, printable(d->replaced->device->path), strerror(-err));
}

/*
 * After a migration whose last step is missing the spare can't be used, also to read, before that is
 * done. Its copies are mended with it, whatever the policy. Returns as mend().
 */
static bool finish(struct decision *d, const struct policy *policy, struct outcome *o)
{
	struct dmr_super replaced = *d->replaced->super;
	int err;

	if (policy->dry_run)
		return true;
	if (policy->read_only) {
		give_up(d, o, DECIDE_SKIP, 0,
			"its move to this spare has to be finished, which writes to it: activate "
			"it once without --read-only");
		return false;
	}
	retire(d, &replaced);
	o->valid_copies = 0;
	err = mend_device(d->spare->device, d->uuid, &replaced, NULL, o);
	if (!err)
		return true;
	log_error("%s: finishing its move to this spare failed: %s; %u of 5 copies are whole",
		  d->name, strerror(-err), o->valid_copies);
	if (o->valid_copies >= ENOUGH_COPIES) {
		o->status |= EXIT_UNDONE;
		return true;
	}
	give_up(d, o, DECIDE_DAMAGED, EXIT_FAILED,
		"its move to this spare could not be finished; 'dmremap examine' shows the spare");
	return false;
}

/* Returns false, with the decision changed, if the set is not fit to be activated. */
static bool mend(struct decision *d, const struct policy *policy, struct outcome *o)
{
	int err;

	if (d->replaced)
		return finish(d, policy, o);
	if (d->spare->verdict == VERDICT_CLEAN)
		return true;
	o->repair = REPAIR_NEEDED;
	if (policy->dry_run || policy->read_only || !policy->repair ||
	    dmr_super_read_only(d->spare->super))
		return true;
	err = mend_device(d->spare->device, d->uuid, NULL, NULL, o);
	if (!err) {
		o->repair = REPAIR_DONE;
		o->status |= EXIT_MENDED;
		return true;
	}
	o->repair = REPAIR_FAILED;
	log_error("%s: mending its copies failed: %s; %u of 5 are whole", d->name, strerror(-err),
		  o->valid_copies);
	if (o->valid_copies >= ENOUGH_COPIES) {
		o->status |= EXIT_UNDONE;
		return true;
	}
	give_up(d, o, DECIDE_DAMAGED, 0,
		"fewer than two copies could be made whole; 'dmremap assemble --read-only' "
		"activates it without writing");
	return false;
}

int act_map_partitions(const char *name)
{
	struct active_set set;
	int err = active_lookup(name, &set) ? partitions_map(&set) : 0;

	return err ? EXIT_FAILED | EXIT_UNDONE : 0;
}

static void activate(struct decision *d, const struct policy *policy, struct outcome *o)
{
	struct activation a = {
		.name = d->name,
		.uuid = d->uuid,
		.length = le64_to_cpu(d->spare->super->length),
		.main = d->main->dev,
		.spare = d->spare->device->dev,
		.read_only = policy->read_only || dmr_super_read_only(d->spare->super),
		.no_repair = !policy->repair,
		.scrub_interval = policy->scrub_interval,
	};
	int err;

	if (activate_prepare()) {
		give_up(d, o, DECIDE_SKIP, EXIT_FAILED,
			"the kernel has no target for it (module dm-remap)");
		return;
	}
	err = activate_create(&a);
	if (!err) {
		o->activated = true;
		o->status |= act_map_partitions(d->name);
		/* from now on the set's device stands for its main, whose links go */
		sysfs_announce(a.main);
		sysfs_announce(a.spare);
		return;
	}
	if (err == -EEXIST || err == -EBUSY)
		give_up(d, o, DECIDE_SKIP, EXIT_FAILED,
			"a device of its name exists, or a member is in use ('dmsetup info' shows "
			"it)");
	else
		give_up(d, o, DECIDE_SKIP, EXIT_FAILED,
			"the kernel refused it; its log says why ('dmesg | grep remap')");
}

/* The devices may have been taken, or taken away, since they were looked at. */
static void look_again(struct decision *d)
{
	const struct device *main = d->main, *spare = d->spare->device;

	if (!device_claimable(main)) {
		d->kind = DECIDE_SKIP;
		snprintf(d->reason, sizeof(d->reason),
			 "main %s is in use (swap, or part of another device)",
			 printable(main->path));
	} else if (device_replaced(main) || device_replaced(spare)) {
		d->kind = DECIDE_MISSING;
		snprintf(d->reason, sizeof(d->reason), "main %s or spare %s has been taken away",
			 printable(main->path), printable(spare->path));
	}
}

void act(struct decision *d, const struct policy *policy, struct outcome *o)
{
	memset(o, 0, sizeof(*o));
	o->valid_copies = d->spare ? d->spare->valid_copies : 0;
	if (d->kind == DECIDE_ACTIVATE)
		look_again(d);
	if (d->kind == DECIDE_ACTIVATE) {
		if (!mend(d, policy, o) || policy->dry_run)
			return;
		look_again(d); /* that took its time */
	}
	if (d->kind == DECIDE_ACTIVATE) {
		activate(d, policy, o);
		return;
	}
	if (d->spare && d->spare->verdict == VERDICT_REPAIRABLE && d->kind != DECIDE_ACTIVE &&
	    o->repair == REPAIR_NONE)
		o->repair = REPAIR_NEEDED;
	/* what nobody asked for may be left undone; but not for a reason that needs somebody to look */
	if (d->kind == DECIDE_CONFLICT || d->kind == DECIDE_DAMAGED ||
	    (d->needed && d->kind != DECIDE_ACTIVE))
		o->status |= EXIT_UNDONE;
}
