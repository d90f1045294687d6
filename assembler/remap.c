// SPDX-License-Identifier: GPL-2.0-only
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "log.h"
#include "move.h"

static const char usage[] =
	"NAME SECTOR [COUNT]\n"
	"Move COUNT sectors (1), from SECTOR on, of the active set NAME to its spare,\n"
	"with their data. Sectors are of 512 bytes; whole logical blocks of the main are moved.\n\n"
	"Exit status: 0 all of them are on the spare, 4 not all, 8 error, 16 usage.\n";

static const struct option options[] = {
	COMMON_LONG_OPTIONS,
};

/* A decimal number, and nothing else. */
static bool number(const char *text, uint64_t *value)
{
	size_t digits = strspn(text, "0123456789");

	*value = strtoull(text, NULL, 10);
	return digits && !text[digits] && *value <= RANGES_END;
}

static int move(const char *name, uint64_t sector, uint64_t count)
{
	struct ranges wanted = {0};
	struct active_set set;
	int status = active_find(name, &set);
	uint64_t limit;

	if (status)
		return status;
	limit = move_limit(&set);
	if (sector >= limit || count > limit - sector) {
		log_error("%s has %" PRIu64 " sectors, which end before sector %" PRIu64,
			  printable(name), limit, sector + count - 1);
		return EXIT_UNDONE;
	}
	if (ranges_add(&wanted, sector, count))
		return EXIT_FAILED;
	status = move_ranges(&set, &wanted, false);
	ranges_free(&wanted);
	return status;
}

int cmd_remap(int argc, char **argv)
{
	uint64_t sector, count = 1;
	int c;

	while ((c = getopt_long(argc, argv, COMMON_SHORT_OPTIONS, options, NULL)) != -1)
		common_option(c, argv, usage);
	if (optind + 2 != argc && optind + 3 != argc)
		return usage_error(argv, "name a set, a sector, and perhaps a count");
	if (!number(argv[optind + 1], &sector))
		return usage_error(argv, "'%s' is not a sector's number",
				   printable(argv[optind + 1]));
	if (argc == optind + 3 && (!number(argv[optind + 2], &count) || !count))
		return usage_error(argv, "'%s' is not a count of sectors",
				   printable(argv[optind + 2]));
	return move(argv[optind], sector, count);
}
