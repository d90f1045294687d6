// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "act.h"
#include "command.h"
#include "inventory.h"
#include "journal.h"
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
	"  --no-repair      leave damaged copies as they are\n"
	"  --json           print one JSON object\n";

static const struct option options[] = {
	{"all", no_argument, NULL, 'a'},
	{"dry-run", no_argument, NULL, 'n'},
	{"read-only", no_argument, NULL, 'r'},
	{"threshold", required_argument, NULL, 't'},
	{"no-repair", no_argument, NULL, 'R'},
	{"json", no_argument, NULL, 'j'},
	COMMON_LONG_OPTIONS,
};

#define LOCK_FILE DMREMAP_RUN_DIR "/lock"

struct request {
	struct policy policy;
	bool quiet_run; /* --dry-run: not even the logs are written */
	bool json;
	const char *const *wanted;
	size_t wanted_count;
};

/*
 * One assembly at a time: the next one then finds the sets active. Returns a descriptor, or -1 with the
 * reason said. One that hangs, on a dead disk perhaps, is not waited for longer than for the disk.
 */
static int take_lock(unsigned int timeout)
{
	struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
	int fd;

	mkdir(DMREMAP_RUN_DIR, 0755);
	fd = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		log_error("cannot open " LOCK_FILE ": %s", strerror(errno));
		return -1;
	}
	for (unsigned int i = 0; flock(fd, LOCK_EX | LOCK_NB); i++) {
		if (errno != EWOULDBLOCK || i >= timeout * 10) {
			log_error("another dmremap holds " LOCK_FILE
				  "; try again when it has finished");
			close(fd);
			return -1;
		}
		nanosleep(&pause, NULL);
	}
	return fd;
}

static int carry_out(const struct request *r, struct decision *d, json_t *list)
{
	struct outcome o;
	char sentence[1024];
	json_t *entry;

	act(d, &r->policy, &o);
	entry = journal_entry(d, &o);
	journal_sentence(entry, sentence, sizeof(sentence));
	if (list)
		json_array_append(list, entry);
	else
		puts(sentence);
	if (!r->quiet_run)
		journal_write(entry, o.activated);
	json_decref(entry);
	return o.status;
}

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

static int assemble(const struct request *r, json_t *list)
{
	struct active_set *active = NULL;
	struct decision *decisions = NULL;
	struct inventory inv;
	struct match_input in = {
		.policy = &r->policy, .wanted = r->wanted, .wanted_count = r->wanted_count};
	int n, status;

	status = inventory_read(&inv, NULL, 0);
	n = active_list(&active);
	if (n < 0) {
		log_error("cannot list the active sets: %s", strerror(-n));
		inventory_free(&inv);
		return EXIT_FAILED | EXIT_UNDONE;
	}
	in.active = active;
	in.active_count = n;
	in.devices = inv.devices;
	in.device_count = inv.device_count;
	in.spares = inv.spares;
	in.spare_count = inv.spare_count;
	n = match_decide(&in, &decisions);
	for (int i = 0; i < n; i++)
		status |= carry_out(r, &decisions[i], list);
	if (n >= 0)
		status |= report_unknown(r, decisions, n);
	else
		status |= EXIT_FAILED;
	free(decisions);
	free(active);
	inventory_free(&inv);
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
	int lock = -1, status;

	policy_read(&r.policy, in_initramfs());
	if (r.policy.debug)
		log_verbosity = 1;
	status = parse_options(&r, argc, argv);
	if (status)
		goto out;
	if (r.policy.enabled && !r.policy.dry_run) {
		lock = take_lock(r.policy.timeout);
		if (lock < 0) {
			status = EXIT_FAILED | EXIT_UNDONE;
			goto out;
		}
	}
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
	if (lock >= 0)
		close(lock);
out:
	policy_free(&r.policy);
	return status;
}
