// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "active.h"
#include "command.h"
#include "device.h"
#include "log.h"
#include "policy.h"
#include "probe.h"

static const char usage[] =
	"[--check | --boot NAME]\n"
	"Print lines for " POLICY_CONFIG " that name the active sets and their members.\n\n"
	"  --check   instead see if it names the main of each set that may be activated, so that\n"
	"            none is taken for a disk like any other while devices are being found\n"
	"  --boot    instead print what the kernel command line says of NAME, for the scripts of "
	"an\n"
	"            initramfs: timeout, allow_raw or ro\n";

static const struct option options[] = {
	{"check", no_argument, NULL, 'c'},
	{"boot", required_argument, NULL, 'b'},
	COMMON_LONG_OPTIONS,
};

/* Returns false if @dev is not there any more. */
static bool print_tags(const char *member, dev_t dev)
{
	char tags[TAGS_TEXT];
	struct device d;

	if (device_read_number(&d, dev))
		return false;
	probe_partition(&d);
	tags_write(&d, tags, sizeof(tags));
	printf(" %s=%s", member, tags);
	return true;
}

static int print_set(const struct active_set *set)
{
	char uuid[UUID_STR_LEN];
	bool known;

	uuid_unparse_lower(set->uuid, uuid);
	printf("set %s name=%s", uuid, set->name);
	known = print_tags("main", set->main);
	known &= print_tags("spare", set->spare);
	putchar('\n');
	if (known)
		return EXIT_FINE;
	log_error("%s: not all of its members are there any more", printable(set->name));
	return EXIT_UNDONE;
}

static int check(void)
{
	char uuid[UUID_STR_LEN];
	struct policy policy;
	int status = EXIT_FINE;

	policy_read(&policy, in_initramfs());
	if (policy_auto(&policy)) {
		log_info("sets that " POLICY_CONFIG
			 " does not name may be activated; 'dmremap config' prints lines for it");
		status = EXIT_UNDONE;
	}
	for (size_t i = 0; i < policy.set_count; i++) {
		if (tags_hold_at_once(&policy.sets[i].main))
			continue;
		uuid_unparse_lower(policy.sets[i].uuid, uuid);
		log_info(POLICY_CONFIG " does not name the main of %s by wwid, serial or partuuid",
			 uuid);
		status = EXIT_UNDONE;
	}
	policy_free(&policy);
	return status;
}

static int print_boot(char **argv, const char *name)
{
	struct policy policy;
	int status = EXIT_FINE;

	policy_read(&policy, in_initramfs());
	if (!strcmp(name, "timeout"))
		printf("%u\n", policy.timeout);
	else if (!strcmp(name, "allow_raw"))
		printf("%d\n", policy.allow_raw);
	else if (!strcmp(name, "ro"))
		printf("%d\n", policy.read_only);
	else
		status = usage_error(argv, "'%s' is not timeout, allow_raw or ro", printable(name));
	policy_free(&policy);
	return status;
}

static int print_all(void)
{
	struct active_set *sets;
	int n = active_list_or_complain(&sets), status = EXIT_FINE;

	if (n < 0)
		return EXIT_FAILED;
	for (int i = 0; i < n; i++)
		status |= print_set(&sets[i]);
	if (!n)
		log_info("no set is active");
	free(sets);
	return status;
}

int cmd_config(int argc, char **argv)
{
	const char *name = NULL;
	bool only_check = false;
	int c;

	while ((c = getopt_long(argc, argv, COMMON_SHORT_OPTIONS, options, NULL)) != -1) {
		if (c == 'c')
			only_check = true;
		else if (c == 'b')
			name = optarg;
		else
			common_option(c, argv, usage);
	}
	if (optind != argc)
		return usage_error(argv, "'%s' is one argument too many", printable(argv[optind]));
	if (name)
		return print_boot(argv, name);
	return only_check ? check() : print_all();
}
