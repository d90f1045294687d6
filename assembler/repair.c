// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "active.h"
#include "command.h"
#include "log.h"
#include "mend.h"
#include "probe.h"
#include "report.h"

static const char usage[] =
	"DEVICE | NAME [--dry-run]\n"
	"Mend all five copies of the metadata on a spare that is not in use, or of the active\n"
	"set NAME, whose copies the kernel mends.\n\n"
	"  --dry-run   say what would be written, and write nothing\n\n"
	"Exit status: 0 nothing to mend, 1 mended, 4 lost, no metadata, or damage left.\n";

static const struct option options[] = {
	{"dry-run", no_argument, NULL, 'n'},
	COMMON_LONG_OPTIONS,
};

static int mend(struct copies *c, const struct device *d)
{
	struct mend_result r;
	char sentence[512];
	int fd = c->fd;
	int err;

	err = mend_copies(c, NULL, time(NULL), &r);
	if (err == -EROFS) {
		log_error("%s may only be read: a newer dm-remap has written to it",
			  printable(d->path));
		return EXIT_UNDONE;
	}
	if (err) {
		log_error("%s could not be mended: %s", printable(d->path), strerror(-err));
		return EXIT_FAILED;
	}
	copies_free(c);
	err = copies_read(c, fd, d->sectors, NULL);
	report_sentence(c, d, sentence, sizeof(sentence));
	printf("%u table blocks and %u superblocks written\n%s\n", r.blocks, r.supers, sentence);
	if (err)
		return EXIT_FAILED;
	return c->verdict == VERDICT_CLEAN ? EXIT_MENDED : EXIT_UNDONE;
}

static int repair(struct copies *c, const struct device *d, bool dry_run)
{
	struct mend_result plan;
	char sentence[512], signature[64];

	report_sentence(c, d, sentence, sizeof(sentence));
	if (c->verdict == VERDICT_LOST) {
		log_error("%s; nothing was written", sentence);
		return EXIT_UNDONE;
	}
	puts(sentence);
	if (c->verdict == VERDICT_CLEAN)
		return EXIT_FINE;
	if (probe_signature(d, signature, sizeof(signature)) > 0)
		log_info("%s also holds a signature of type %s, which is written over",
			 printable(d->path), printable(signature));
	if (!dry_run)
		return mend(c, d);
	mend_plan(c, &plan);
	printf("%u table blocks and %u superblocks would be written\n", plan.blocks, plan.supers);
	return EXIT_MENDED;
}

static bool ask(const struct active_set *set, struct active_status *s)
{
	if (!active_status(set, s))
		return true;
	log_error("%s does not answer as a dm-remap target should", printable(set->name));
	return false;
}

/* Of a set in use only the kernel knows what its copies have to hold. */
static int repair_active(const struct active_set *set)
{
	struct active_status before, after;
	int err;

	if (!ask(set, &before))
		return EXIT_FAILED;
	err = active_repair(set->name);
	if (err && err != -EIO) {
		log_error("cannot have %s mended: %s ('dmesg' says more)", printable(set->name),
			  strerror(-err));
		return EXIT_FAILED;
	}
	if (!ask(set, &after))
		return EXIT_FAILED;
	printf("%s: %u of 5 copies are valid\n", printable(set->name), after.valid_copies);
	if (err)
		return EXIT_UNDONE;
	return after.repairs > before.repairs ? EXIT_MENDED : EXIT_FINE;
}

int cmd_repair(int argc, char **argv)
{
	struct active_set set;
	struct copies copies;
	struct device device;
	bool dry_run = false;
	int c, status;

	while ((c = getopt_long(argc, argv, COMMON_SHORT_OPTIONS, options, NULL)) != -1) {
		if (c == 'n')
			dry_run = true;
		else
			common_option(c, argv, usage);
	}
	if (optind + 1 != argc)
		return usage_error(argv, "name exactly one spare or active set");

	if (active_lookup(argv[optind], &set)) {
		if (dry_run)
			return usage_error(argv, "--dry-run is for a spare that is not in use");
		return repair_active(&set);
	}
	status = report_open(argv[optind], !dry_run, &device, &copies);
	if (!status)
		status = repair(&copies, &device, dry_run);
	report_close(&copies);
	return status;
}
