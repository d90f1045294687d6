// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "act.h"
#include "command.h"
#include "decisions.h"
#include "log.h"

static const char usage[] =
	"[--all | NAME | UUID]... [OPTION]...\n"
	"Find the members of sets, mend damaged copies, and activate the sets: all that the config "
	"and\n"
	"the kernel command line (in an initramfs) ask for, or the named ones.\n\n"
	"  --all            what would be done without names, too\n"
	"  --dry-run        decide, but change and activate nothing\n"
	"  --read-only      activate read-only, write nothing anywhere\n"
	"  --threshold N    least confidence (0-100) for sets that nobody named\n"
	"  --no-clones      leave alone what may be a clone of a member\n"
	"  --no-repair      leave damaged copies as they are\n"
	"  --json           print one JSON object\n";

static const struct option options[] = {
	{"all", no_argument, NULL, 'a'},
	{"dry-run", no_argument, NULL, 'n'},
	{"read-only", no_argument, NULL, 'r'},
	{"threshold", required_argument, NULL, 't'},
	{"no-clones", no_argument, NULL, 'C'},
	{"no-repair", no_argument, NULL, 'R'},
	{"json", no_argument, NULL, 'j'},
	COMMON_LONG_OPTIONS,
};

struct request {
	struct policy policy;
	bool quiet_run; /* --dry-run: not even the logs are written */
	bool json;
	const char *const *wanted;
	size_t wanted_count;
};

/* Every name that the user gave has to be the name or UUID of something. */
static int report_unknown(const struct request *r, const struct decision *d, int n)
{
	char uuid[UUID_STR_LEN];
	int status = 0;

	for (size_t i = 0; i < r->wanted_count; i++) {
		bool found = false;

		for (int k = 0; k < n && !found; k++) {
			uuid_unparse_lower(d[k].uuid, uuid);
			found = !strcmp(r->wanted[i], d[k].name) || !strcasecmp(r->wanted[i], uuid);
		}
		if (found)
			continue;
		log_error("there is no set %s; 'dmremap scan' lists what there is",
			  printable(r->wanted[i]));
		status = EXIT_UNDONE;
	}
	return status;
}

static int carry_out(const struct request *r, const struct inventory *inv, json_t *list)
{
	struct decision *decisions;
	int n = decisions_make(inv, &r->policy, r->wanted, r->wanted_count, &decisions);
	int status = 0;

	for (int i = 0; i < n; i++) {
		status |= decisions_carry_out(&decisions[i], &r->policy, !r->quiet_run, list);
		/* a table that was changed since, if the user says so */
		if (r->wanted_count && decisions[i].kind == DECIDE_ACTIVE && !r->policy.dry_run)
			status |= act_map_partitions(decisions[i].name);
	}
	status |= n >= 0 ? report_unknown(r, decisions, n) : EXIT_FAILED;
	free(decisions);
	return status;
}

/* Only what changes something is done under the lock: a disk that hangs keeps nobody else waiting. */
static int assemble(const struct request *r, json_t *list)
{
	struct inventory inv;
	int status = inventory_read(&inv, NULL, 0, INVENTORY_PATIENCE);
	int lock = r->policy.dry_run ? -1 : decisions_lock();

	if (lock >= 0 || r->policy.dry_run)
		status |= carry_out(r, &inv, list);
	else
		status |= EXIT_FAILED;
	if (lock >= 0)
		close(lock);
	inventory_free(&inv);
	/* rd.dmremap.dry_run: the boot goes on, whatever would have been done */
	if (r->policy.dry_run && !r->quiet_run)
		return EXIT_FINE;
	/* a set that could not be seen may be the one that a boot waits for */
	return status & EXIT_FAILED ? status | EXIT_UNDONE : status;
}

static int parse_options(struct request *r, int argc, char **argv)
{
	bool all = false;
	char *end;
	long n;
	int c;

	while ((c = getopt_long(argc, argv, COMMON_SHORT_OPTIONS, options, NULL)) != -1) {
		switch (c) {
		case 'a':
			all = true;
			break;
		case 'n':
			r->policy.dry_run = r->quiet_run = true;
			break;
		case 'r':
			r->policy.read_only = true;
			break;
		case 't':
			n = strtol(optarg, &end, 10);
			if (!*optarg || *end || n < 0 || n > 100)
				return usage_error(argv, "'%s' is not a threshold (0-100)",
						   printable(optarg));
			r->policy.threshold = n;
			break;
		case 'C':
			r->policy.no_clones = true;
			break;
		case 'R':
			r->policy.repair = false;
			break;
		case 'j':
			r->json = true;
			break;
		default:
			common_option(c, argv, usage);
		}
	}
	if (all && optind != argc)
		return usage_error(argv, "--all and a name don't go together");
	r->wanted = (const char *const *)argv + optind;
	r->wanted_count = argc - optind;
	return 0;
}

int cmd_assemble(int argc, char **argv)
{
	struct request r = {0};
	json_t *list = NULL;
	int status;

	policy_read(&r.policy, in_initramfs());
	if (r.policy.debug)
		log_verbosity = 1;
	status = parse_options(&r, argc, argv);
	if (status)
		goto out;
	if (r.json)
		list = json_array();
	if (r.policy.enabled) {
		status = assemble(&r, list);
	} else if (r.wanted_count) {
		log_error("rd.dmremap=0 on the kernel command line forbids it; boot without that");
		status = EXIT_UNDONE;
	}
	if (r.json)
		json_print(json_pack("{so}", "decisions", list));
out:
	policy_free(&r.policy);
	return status;
}
