// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "active.h"
#include "command.h"
#include "copies.h"
#include "log.h"
#include "spare.h"

static const char usage[] =
	"NAME --main DEVICE --spare DEVICE [--uuid UUID] [--force]\n"
	"Make a set: write its metadata to the spare and print its UUID. The main, which may be "
	"in\n"
	"use, is not written to. Everything on the spare is lost.\n\n"
	"  --main DEVICE    device whose bad sectors are to be covered\n"
	"  --spare DEVICE   device that the replacement sectors and the metadata live on\n"
	"  --uuid UUID      of the set, instead of a random one\n"
	"  --force          overwrite a file system or old metadata on the spare\n";

static const struct option options[] = {
	{"main", required_argument, NULL, 'm'},
	{"spare", required_argument, NULL, 's'},
	{"uuid", required_argument, NULL, 'u'},
	{"force", no_argument, NULL, 'f'},
	COMMON_LONG_OPTIONS,
};

struct request {
	const char *name, *main_path, *spare_path;
	uuid_t uuid;
	bool force;
	struct device main, spare;
	struct dmr_layout layout;
};

static int read_members(struct request *r)
{
	int err = device_read(&r->main, r->main_path);

	if (err) {
		device_complain(r->main_path, err);
		return EXIT_FAILED;
	}
	err = device_read(&r->spare, r->spare_path);
	if (err) {
		device_complain(r->spare_path, err);
		return EXIT_FAILED;
	}
	device_probe(&r->main, false);
	device_probe(&r->spare, true);
	return 0;
}

/* What no --force overrides. */
static int refuse_impossible(struct request *r)
{
	const char *main = printable(r->main.path), *spare = printable(r->spare.path);
	const char *conflict = device_conflict(&r->main, &r->spare);

	if (conflict)
		log_error("%s and %s %s; name another spare", main, spare, conflict);
	else if (r->main.zoned)
		log_error("%s is a zoned device; these are not supported", main);
	else if (r->main.sectors < r->main.block / DMR_SECTOR_SIZE || !r->main.sectors)
		log_error("main %s is empty; name a device with at least one sector", main);
	else if (r->main.sectors > DMR_MAX_SECTORS)
		log_error("%s is larger than supported (128 PiB)", main);
	else if (r->main.block > DMR_BLOCK_SIZE)
		log_error("main %s has logical blocks of %u bytes; at most %d are supported", main,
			  r->main.block, DMR_BLOCK_SIZE);
	else
		return spare_refuse(&r->spare, main, r->main.block, &r->layout);
	return EXIT_UNDONE;
}

static void make_super(const struct request *r, struct dmr_super *s)
{
	uint32_t unit = r->main.block / DMR_SECTOR_SIZE;
	uuid_t spare_uuid;
	struct dmr_new n = {
		.uuid = r->uuid,
		.spare_uuid = spare_uuid,
		.name = r->name,
		.length = r->main.sectors - r->main.sectors % unit,
		.main_block = r->main.block,
		.spare_block = r->spare.block,
		.created = time(NULL),
		.generation = 1,
	};

	uuid_generate(spare_uuid);
	dmr_super_init(s, &r->layout, &n);
	device_identity(&r->main, &s->main);
	spare_identity(&r->spare, s);
}

/*
 * A spare is covered by its own copies; as the main of another set it would never be found again. What an active
 * set has already is read by that set alone.
 */
static int refuse_member_as_main(struct request *r)
{
	const char *main = printable(r->main.path);
	struct copies c;
	uuid_t set;
	int fd, status = 0;

	if (!r->main.is_file &&
	    (active_holder(r->main.dev, set) || active_holder(r->main.disk, set))) {
		log_error("main %s is a member of an active set; name another main", main);
		return EXIT_UNDONE;
	}
	fd = device_open(&r->main, false);
	if (fd < 0) {
		device_complain(r->main.path, fd);
		return EXIT_FAILED;
	}
	if (!copies_read_super(&c, fd, r->main.sectors, NULL) && c.verdict != VERDICT_NONE) {
		log_error("main %s is the spare of a dm-remap set, or was one ('dmremap examine "
			  "%s' shows it); name another main, or the two the other way round",
			  main, main);
		status = EXIT_UNDONE;
	}
	copies_free(&c);
	close(fd);
	return status;
}

static int create(struct request *r)
{
	char text[UUID_STR_LEN];
	struct dmr_super super;
	int status;

	status = read_members(r);
	if (!status)
		status = refuse_impossible(r);
	if (!status)
		status = refuse_member_as_main(r);
	if (status)
		return status;
	make_super(r, &super);
	status = spare_write(&r->spare, r->force, &super);
	if (status)
		return status;
	if (!r->main.is_file && r->main.disk == r->spare.disk)
		log_info("%s and %s are on the same disk: this helps against bad sectors, not "
			 "against losing the disk",
			 printable(r->main.path), printable(r->spare.path));
	uuid_unparse_lower(r->uuid, text);
	puts(text);
	return EXIT_FINE;
}

int cmd_create(int argc, char **argv)
{
	struct request r = {0};
	int c;

	uuid_generate(r.uuid);
	while ((c = getopt_long(argc, argv, COMMON_SHORT_OPTIONS, options, NULL)) != -1) {
		switch (c) {
		case 'm':
			r.main_path = optarg;
			break;
		case 's':
			r.spare_path = optarg;
			break;
		case 'u':
			if (uuid_parse(optarg, r.uuid) || uuid_is_null(r.uuid))
				return usage_error(argv, "'%s' is not a UUID", printable(optarg));
			break;
		case 'f':
			r.force = true;
			break;
		default:
			common_option(c, argv, usage);
		}
	}
	if (optind + 1 != argc || !r.main_path || !r.spare_path)
		return usage_error(argv, "a name, --main and --spare are needed");
	r.name = argv[optind];
	if (!dmr_name_valid(r.name))
		return usage_error(
			argv, "'%s' cannot be a set's name (1-127 of A-Z a-z 0-9 # + . : = @ _ -)",
			printable(r.name));
	return create(&r);
}
