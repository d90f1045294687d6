// SPDX-License-Identifier: GPL-2.0-only
/*
 * One device has come, or has gone. A set is activated with the last of its members. Most devices have to do with
 * none, which little has to be read for, at the same time as for others.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "command.h"
#include "decisions.h"
#include "log.h"
#include "remembered.h"
#include "sysfs.h"

static const char usage[] =
	"DEVICE [--activate all|sure|none]\n"
	"Tell dmremap that a block device has come, or has gone. For udev, which calls this for "
	"each:\n"
	"a set is activated when the last of its members comes.\n\n"
	"  --activate all    whatever \"assemble\" would\n"
	"  --activate sure   only if the hardware vouches for both members: while devices are "
	"still\n"
	"                    being found, a better candidate may be yet to come\n"
	"  --activate none   nothing, but remember a spare\n";

static const struct option options[] = {
	{"activate", required_argument, NULL, 'a'},
	COMMON_LONG_OPTIONS,
};

enum activate {
	ACTIVATE_ALL,
	ACTIVATE_SURE,
	ACTIVATE_NONE,
	ACTIVATE_KINDS,
};

static const char *const activate_text[] = {"all", "sure", "none"};

struct request {
	struct policy policy;
	enum activate activate;
};

/* The main of @set, which was masked for a spare that is none any more, has its links back. */
static void unmask_main(const uuid_t set)
{
	struct device *list;
	int n = device_list(&list);
	uuid_t masked_for, holder;

	for (int i = 0; i < n; i++) {
		if (remembered_member(list[i].dev, masked_for) && !uuid_compare(masked_for, set) &&
		    !active_holder(list[i].dev, holder))
			sysfs_announce(list[i].dev);
	}
	if (n >= 0)
		free(list);
}

/* Is it a spare? Then it is remembered; returns true if that is new. What can't be read stays what it was. */
static bool look_at(char *path)
{
	struct inventory inv;
	bool new = false;
	uuid_t set;

	if (!inventory_read(&inv, &path, 1, INVENTORY_PATIENCE)) {
		if (inv.spare_count)
			new = remember(path, inv.spares->uuid);
		else if (!inv.unread && forget(path, set))
			unmask_main(set);
	}
	inventory_free(&inv);
	return new;
}

static bool takes_part(const struct decision *d, dev_t dev)
{
	return (d->spare && d->spare->device->dev == dev) || (d->main && d->main->dev == dev);
}

static bool is_among(const struct decision *list, int n, const uint8_t *uuid)
{
	for (int i = 0; i < n; i++) {
		if (!uuid_compare(list[i].uuid, uuid))
			return true;
	}
	return false;
}

/*
 * The sets that @dev would be a member of if nothing but it and the spares were there. They are to be freed, and
 * have lost what they point to: only which ones they are is left.
 */
static int sets_of(char *path, dev_t dev, const struct policy *policy, struct decision **sets)
{
	struct inventory inv;
	int n = decisions_preview(&inv, policy, path, sets), kept = 0;

	for (int i = 0; i < n; i++) {
		if (takes_part(&(*sets)[i], dev))
			(*sets)[kept++] = (*sets)[i];
	}
	inventory_free(&inv);
	return n < 0 ? n : kept;
}

static int act_on(struct decision *d, const struct request *r, bool new_spare)
{
	if (d->kind == DECIDE_ACTIVE || !d->spare)
		return EXIT_FINE;
	/* its main is to be masked, whether or not it can be activated */
	if (new_spare && d->main)
		sysfs_announce(d->main->dev);
	if (r->activate == ACTIVATE_ALL ||
	    (r->activate == ACTIVATE_SURE && d->kind == DECIDE_ACTIVATE && d->strong))
		return decisions_carry_out(d, &r->policy, !r->policy.dry_run, NULL);
	return EXIT_FINE;
}

static int act_on_all(const struct request *r, const struct decision *sets, int count,
		      const struct inventory *inv, bool new_spare)
{
	struct decision *decisions;
	int n = decisions_make(inv, &r->policy, NULL, 0, &decisions);
	int status = n < 0 ? EXIT_FAILED : EXIT_FINE;

	for (int i = 0; i < n; i++) {
		if (is_among(sets, count, decisions[i].uuid))
			status |= act_on(&decisions[i], r, new_spare);
	}
	free(decisions);
	return status;
}

/* Decide on @sets anew, with all devices in sight. */
static int complete(const struct request *r, const struct decision *sets, int count, bool new_spare)
{
	struct inventory inv;
	char **paths;
	int spares = remembered(&paths);
	int status = inventory_read_spares(&inv, paths, spares);
	int lock = decisions_lock();

	status |=
		lock < 0 ? EXIT_FAILED | EXIT_UNDONE : act_on_all(r, sets, count, &inv, new_spare);
	if (lock >= 0)
		close(lock);
	inventory_free(&inv);
	free_paths(paths, spares);
	return status;
}

/* The number that udev gives the device whose event this is; 0 if this is none. */
static dev_t device_of_event(void)
{
	const char *major_number = getenv("MAJOR"), *minor_number = getenv("MINOR");

	return major_number && minor_number ? makedev(atoi(major_number), atoi(minor_number)) : 0;
}

static void tell(const char *sentence)
{
	log_info("%s", sentence);
	log_kernel(sentence);
}

/* Say so if @path, which is gone, was a member of an active set, or a spare that waited for its main. */
static int departed(const char *path)
{
	char sentence[600], uuid[UUID_STR_LEN];
	const dev_t dev = device_of_event();
	struct active_set *sets;
	int n = active_list(&sets);
	bool told = false;
	uuid_t set;

	for (int i = 0; i < n; i++) {
		if (!dev || (sets[i].main != dev && sets[i].spare != dev))
			continue;
		snprintf(sentence, sizeof(sentence), "%s: its %s %s is gone", sets[i].name,
			 sets[i].main == dev ? "main" : "spare", printable(path));
		tell(sentence);
		told = true;
	}
	if (n >= 0)
		free(sets);
	if (!forget(path, set) || told)
		return EXIT_FINE;
	uuid_unparse_lower(set, uuid);
	snprintf(sentence, sizeof(sentence), "%s: its spare %s is gone", uuid, printable(path));
	tell(sentence);
	return EXIT_FINE;
}

static int arrived(const struct request *r, struct device *d)
{
	const char *why = device_passed_over(d);
	struct decision *sets;
	int n, status = EXIT_FINE;
	uuid_t set;
	bool new;

	if (why) {
		log_debug("%s is passed over: %s", printable(d->path), why);
		return EXIT_FINE;
	}
	new = look_at(d->path);
	if (active_holder(d->dev, set) || (r->activate == ACTIVATE_NONE && !new))
		return EXIT_FINE;
	n = sets_of(d->path, d->dev, &r->policy, &sets);
	if (n)
		status = n < 0 ? EXIT_FAILED | EXIT_UNDONE : complete(r, sets, n, new);
	free(sets);
	return status;
}

static int parse_options(struct request *r, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, COMMON_SHORT_OPTIONS, options, NULL)) != -1) {
		if (c != 'a') {
			common_option(c, argv, usage);
			continue;
		}
		for (r->activate = 0; r->activate < ACTIVATE_KINDS; r->activate++) {
			if (!strcmp(optarg, activate_text[r->activate]))
				break;
		}
		if (r->activate == ACTIVATE_KINDS)
			return usage_error(argv, "'%s' is none of all, sure and none",
					   printable(optarg));
	}
	if (optind + 1 != argc)
		return usage_error(argv, "name exactly one device");
	return 0;
}

/* By the name that the kernel has for it, by which it will be known when it goes: @path may be a link. */
static int read_device(struct device *d, const char *path)
{
	int err = device_read(d, path);
	char node[64];

	if (!err && !d->is_file && sysfs_node(d->dev, node, sizeof(node)))
		err = device_read(d, node);
	return err;
}

int cmd_incremental(int argc, char **argv)
{
	struct request r = {.activate = ACTIVATE_ALL};
	const char *path;
	struct device d;
	int status = parse_options(&r, argc, argv), err;

	if (status)
		return status;
	path = argv[optind];
	policy_read(&r.policy, in_initramfs());
	r.policy.no_clones = true;
	if (r.policy.debug)
		log_verbosity = 1;
	err = read_device(&d, path);
	if (!r.policy.enabled) {
		status = EXIT_FINE;
	} else if (err == -ENOENT) {
		status = departed(path);
	} else if (err || d.is_file) {
		device_complain(path, err ? err : -ENOTBLK);
		status = EXIT_FAILED;
	} else {
		status = arrived(&r, &d);
	}
	policy_free(&r.policy);
	return status;
}
