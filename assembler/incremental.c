// SPDX-License-Identifier: GPL-2.0-only
/*
 * One device has come, or has gone. A set is activated with the last of its members: spares that wait for
 * their main are remembered under /run, so that a main that comes later is known, and other devices cost
 * little.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "command.h"
#include "decisions.h"
#include "log.h"
#include "sysfs.h"

static const char usage[] = "DEVICE\n"
			    "Tell dmremap that a block device has come, or has gone. For udev, "
			    "which calls this for each:\n"
			    "a set is activated when the last of its members comes.\n";

static const struct option options[] = {
	COMMON_LONG_OPTIONS,
};

/* A file for each spare that is there, by its path with '!' for '/', as sysfs has it. */
#define SPARES DMREMAP_RUN_DIR "/spares"

static void file_of(const char *path, char *file, size_t size)
{
	snprintf(file, size, SPARES "/%s", path);
	for (char *c = file + strlen(SPARES "/"); *c; c++) {
		if (*c == '/')
			*c = '!';
	}
}

/* Whether there is a spare @path, and of which set. What can't be remembered is found by "assemble" alone. */
static void remember(const char *path, const uint8_t *uuid)
{
	char file[300], text[UUID_STR_LEN + 1];
	int err;

	mkdir(DMREMAP_RUN_DIR, 0755);
	mkdir(SPARES, 0755);
	uuid_unparse_lower(uuid, text);
	strcat(text, "\n");
	file_of(path, file, sizeof(file));
	err = log_write(file, O_CREAT | O_TRUNC, text);
	if (err)
		log_error("cannot write %s: %s", printable(file), strerror(-err));
}

/* Returns true if @path was remembered, and which set it was of. */
static bool forget(const char *path, uuid_t uuid)
{
	char file[300], text[UUID_STR_LEN] = "";
	FILE *f;

	file_of(path, file, sizeof(file));
	f = fopen(file, "re");
	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f) || uuid_parse(text, uuid))
		uuid_clear(uuid);
	fclose(f);
	return !unlink(file);
}

static int no_dots(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void free_paths(char **paths, int count)
{
	for (int i = 0; i < count; i++)
		free(paths[i]);
	free(paths);
}

/* The spares that are remembered; free_paths() them. */
static int remembered(char ***paths)
{
	struct dirent **entries = NULL;
	int count = scandir(SPARES, &entries, no_dots, alphasort), n = 0;

	*paths = calloc(count > 0 ? count : 1, sizeof(**paths));
	for (int i = 0; i < count; i++) {
		char *path = *paths ? strdup(entries[i]->d_name) : NULL;

		if (path)
			(*paths)[n++] = sysfs_slashes(path);
		free(entries[i]);
	}
	free(entries);
	return n;
}

/* Is it a spare? Then it is remembered. */
static void look_at(char *path)
{
	struct inventory inv;
	uuid_t ignored;

	if (!inventory_read(&inv, &path, 1) && inv.spare_count)
		remember(path, inv.spares->uuid);
	else
		forget(path, ignored);
	inventory_free(&inv);
}

/* Act on all sets whose spare is there; those that are active, or about which nothing is new, say nothing. */
static int complete(const struct policy *policy)
{
	struct decision *decisions;
	struct inventory inv;
	char **paths;
	int count = remembered(&paths), lock, n, status = EXIT_FINE;

	lock = count ? decisions_lock(policy->timeout) : -1;
	if (lock >= 0) {
		status = inventory_read_spares(&inv, paths, count);
		n = decisions_make(&inv, policy, NULL, 0, &decisions);
		for (int i = 0; i < n; i++) {
			if (decisions[i].spare && decisions[i].kind != DECIDE_ACTIVE)
				status |= decisions_carry_out(&decisions[i], policy,
							      !policy->dry_run, NULL);
		}
		status |= n < 0 ? EXIT_FAILED : 0;
		free(decisions);
		inventory_free(&inv);
		close(lock);
	} else if (count) {
		status = EXIT_FAILED | EXIT_UNDONE;
	}
	free_paths(paths, count);
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

static int arrived(const struct policy *policy, const struct device *d, char *path)
{
	const char *why = device_passed_over(d);

	if (why) {
		log_debug("%s is passed over: %s", printable(path), why);
		return EXIT_FINE;
	}
	look_at(path);
	return complete(policy);
}

int cmd_incremental(int argc, char **argv)
{
	struct policy policy;
	struct device d;
	int status, err, c;

	while ((c = getopt_long(argc, argv, COMMON_SHORT_OPTIONS, options, NULL)) != -1)
		common_option(c, argv, usage);
	if (optind + 1 != argc)
		return usage_error(argv, "name exactly one device");

	policy_read(&policy, in_initramfs());
	err = device_read(&d, argv[optind]);
	if (!policy.enabled) {
		status = EXIT_FINE;
	} else if (err == -ENOENT) {
		status = departed(argv[optind]);
	} else if (err || d.is_file) {
		device_complain(argv[optind], err ? err : -ENOTBLK);
		status = EXIT_FAILED;
	} else {
		status = arrived(&policy, &d, argv[optind]);
	}
	policy_free(&policy);
	return status;
}
