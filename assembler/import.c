// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "badlist.h"
#include "command.h"
#include "log.h"
#include "move.h"

#define MAX_TEXT (1u << 30) /* a hundred million bad blocks: not a disk to go on with */

static const char usage[] =
	"NAME FILE [-b BYTES] [--types TYPES] [--dry-run]\n"
	"Move the bad sectors that FILE lists to the spare of the active set NAME. FILE\n"
	"(- for standard input) is what badblocks prints, or a map file of GNU ddrescue,\n"
	"of the main of this set.\n\n"
	"  -b, --block-size BYTES   of the blocks that badblocks counted (1024, as its own)\n"
	"  --types TYPES            areas of a map that count as bad, of ?*/-+ (-)\n"
	"  --dry-run                say how much would be moved, and move nothing\n\n"
	"The data of sectors that can be read goes with them. What cannot be read is named,\n"
	"and stays where it is until it is written. Importing a list again does no harm.\n\n"
	"Exit status: 0 all of it is on the spare, 4 not all, 8 error, 16 usage.\n";

static const struct option options[] = {
	{"block-size", required_argument, NULL, 'b'},
	{"types", required_argument, NULL, 't'},
	{"dry-run", no_argument, NULL, 'n'},
	COMMON_LONG_OPTIONS,
};

struct import {
	const char *name, *file;
	bool has_block_size, has_types, dry_run;
	struct badlist_options list;
};

/* All that @fd has to say, with a NUL behind it, to be freed; NULL and errno if that fails. */
static char *read_all(int fd, size_t *size)
{
	size_t room = 1 << 16;
	char *text = malloc(room), *more;
	ssize_t n = 0;

	for (*size = 0; text && (n = read(fd, text + *size, room - *size - 1)) > 0;) {
		*size += n;
		if (room - *size > 1)
			continue;
		more = room < MAX_TEXT ? realloc(text, room *= 2) : NULL;
		if (!more) {
			errno = EFBIG;
			n = -1;
			break;
		}
		text = more;
	}
	if (n < 0) {
		free(text);
		return NULL;
	}
	if (text)
		text[*size] = '\0';
	return text;
}

/* Read and parse the file. Returns 0 or, with a complaint, an exit status. */
static int read_list(const struct import *i, struct badlist *l)
{
	int fd = strcmp(i->file, "-") ? open(i->file, O_RDONLY | O_CLOEXEC) : STDIN_FILENO, err;
	size_t size;
	char *text = fd < 0 ? NULL : read_all(fd, &size);

	err = text ? badlist_parse(l, text, size, &i->list) : -errno;
	free(text);
	if (fd > STDIN_FILENO)
		close(fd);
	if (err == -EINVAL && *l->error) {
		log_error("%s is no list of bad sectors: %s", printable(i->file), l->error);
		return EXIT_UNDONE;
	}
	if (err) {
		log_error("cannot read %s: %s", printable(i->file), strerror(-err));
		return EXIT_FAILED;
	}
	return 0;
}

/* Options that don't belong to this kind of list show that the user takes it for another. */
static int check_options(const struct import *i, const struct badlist *l, char **argv)
{
	if (l->kind == BADLIST_MAP && i->has_block_size)
		return usage_error(argv,
				   "%s is a ddrescue map, which counts in bytes: --block-size "
				   "is for badblocks lists",
				   printable(i->file));
	if (l->kind == BADLIST_BLOCKS && i->has_types)
		return usage_error(argv, "%s is a badblocks list: --types is for ddrescue maps",
				   printable(i->file));
	return 0;
}

/* A list that speaks of more sectors than there are is one of another device. */
static int check_limit(const struct import *i, const struct badlist *l,
		       const struct active_set *set)
{
	uint64_t limit = move_limit(set);

	if (l->end <= limit)
		return 0;
	log_error("%s is not a list of the main of %s, which has %" PRIu64
		  " sectors: it speaks of sector %" PRIu64 "%s",
		  printable(i->file), printable(i->name), limit, l->end - 1,
		  l->kind == BADLIST_BLOCKS ? " (is --block-size right?)" : "");
	return EXIT_UNDONE;
}

static int import(const struct import *i, char **argv)
{
	struct badlist list = {0};
	struct active_set set;
	int status = read_list(i, &list);

	if (!status)
		status = check_options(i, &list, argv);
	if (!status)
		status = active_find(i->name, &set);
	if (!status)
		status = check_limit(i, &list, &set);
	if (!status && !list.bad.count)
		printf("%s names no bad sectors\n", printable(i->file));
	else if (!status)
		status = move_ranges(&set, &list.bad, i->dry_run);
	badlist_free(&list);
	return status;
}

/* True for a size that badblocks could have been given, and that is whole sectors. */
static bool parse_block_size(const char *text, uint32_t *bytes)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	*bytes = n;
	return *text >= '0' && *text <= '9' && !*end && n && n <= BADLIST_MAX_BLOCK_BYTES &&
	       n % 512 == 0;
}

int cmd_import(int argc, char **argv)
{
	struct import i = {.list = {BADLIST_BLOCK_BYTES, BADLIST_BAD}};
	int c;

	while ((c = getopt_long(argc, argv, COMMON_SHORT_OPTIONS "b:", options, NULL)) != -1) {
		switch (c) {
		case 'b':
			i.has_block_size = true;
			if (!parse_block_size(optarg, &i.list.block_bytes))
				return usage_error(argv,
						   "'%s' is not a block size: a multiple of 512",
						   printable(optarg));
			break;
		case 't':
			i.has_types = true;
			i.list.types = optarg;
			if (!*optarg || optarg[strspn(optarg, BADLIST_TYPES)])
				return usage_error(argv,
						   "'%s' is not made of the types " BADLIST_TYPES,
						   printable(optarg));
			break;
		case 'n':
			i.dry_run = true;
			break;
		default:
			common_option(c, argv, usage);
		}
	}
	if (optind + 2 != argc)
		return usage_error(argv, "name a set and a file");
	i.name = argv[optind];
	i.file = argv[optind + 1];
	return import(&i, argv);
}
