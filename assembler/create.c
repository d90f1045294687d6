// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "command.h"
#include "copies.h"
#include "log.h"
#include "mend.h"
#include "probe.h"

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
	else if (*r->spare.in_use)
		log_error("spare %s is %s; release it, or name another spare", spare,
			  printable(r->spare.in_use));
	else if (r->spare.read_only)
		log_error("spare %s is read-only; name another spare", spare);
	else if (r->main.zoned || r->spare.zoned)
		log_error("%s is a zoned device; these are not supported",
			  r->main.zoned ? main : spare);
	else if (r->main.sectors < r->main.block / DMR_SECTOR_SIZE || !r->main.sectors)
		log_error("main %s is empty; name a device with at least one sector", main);
	else if (r->main.sectors > DMR_MAX_SECTORS || r->spare.sectors > DMR_MAX_SECTORS)
		log_error("%s is larger than supported (128 PiB)",
			  r->main.sectors > DMR_MAX_SECTORS ? main : spare);
	else if (r->main.block > DMR_BLOCK_SIZE)
		log_error("main %s has logical blocks of %u bytes; at most %d are supported", main,
			  r->main.block, DMR_BLOCK_SIZE);
	else if (r->spare.block > r->main.block)
		log_error("spare %s has logical blocks of %u bytes, main %s of %u; the spare's may "
			  "not be larger",
			  spare, r->spare.block, main, r->main.block);
	else if (dmr_layout_init(&r->layout, r->spare.sectors) != DMR_OK)
		log_error("spare %s is too small: it has %" PRIu64 " sectors and needs at least %d",
			  spare, r->spare.sectors, DMR_MIN_SECTORS);
	else
		return 0;
	return EXIT_UNDONE;
}

/* Content of the spare that only --force may overwrite. */
static int refuse_content(struct request *r)
{
	const char *spare = printable(r->spare.path);
	char name[64];
	int found = probe_signature(&r->spare, name, sizeof(name));

	if (found < 0) {
		log_error("spare %s cannot be read: %s; name another spare", spare,
			  strerror(-found));
		return EXIT_FAILED;
	}
	if (!found || r->force)
		return 0;
	log_error("spare %s holds a signature of type %s; --force overwrites it", spare,
		  printable(name));
	return EXIT_UNDONE;
}

/* A set that already lives on the spare. One of a newer format is left alone even by --force. */
static int refuse_old_set(struct request *r, int fd)
{
	const char *spare = printable(r->spare.path);
	struct copies c;
	int status = 0;

	if (copies_read_super(&c, fd, r->spare.sectors, NULL)) {
		log_error("out of memory");
		status = EXIT_FAILED;
	} else if (copies_newer_format(&c)) {
		log_error("spare %s holds a set of a newer dm-remap; erase it with that, or name "
			  "another spare",
			  spare);
		status = EXIT_UNDONE;
	} else if (c.verdict != VERDICT_NONE && !r->force) {
		log_error("spare %s already holds a dm-remap set; --force overwrites it", spare);
		status = EXIT_UNDONE;
	}
	copies_free(&c);
	return status;
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
	};

	uuid_generate(spare_uuid);
	dmr_super_init(s, &r->layout, &n);
	device_identity(&r->main, &s->main);
	device_identity(&r->spare, &s->spare);
	/* what was on the spare is about to be overwritten */
	memset(s->spare.fsuuid, 0, sizeof(s->spare.fsuuid));
	memset(s->spare.ptuuid, 0, r->spare.part_number ? 0 : sizeof(s->spare.ptuuid));
	dmr_seal(s);
}

/* Write the set, and believe it only once it has been read back. */
static int write_set(struct request *r, int fd)
{
	struct dmr_super super;
	struct copies c;
	int err;

	make_super(r, &super);
	err = mend_format(fd, &r->layout, &super);
	if (!err)
		err = copies_read(&c, fd, r->spare.sectors, r->uuid);
	if (!err) {
		if (c.verdict != VERDICT_CLEAN)
			err = -EIO;
		copies_free(&c);
	}
	if (!err)
		return EXIT_FINE;
	log_error("cannot write the metadata to spare %s: %s", printable(r->spare.path),
		  strerror(-err));
	return EXIT_FAILED;
}

/* A spare is covered by its own copies; as the main of another set it would never be found again. */
static int refuse_spare_as_main(struct request *r)
{
	int fd = device_open(&r->main, false);
	struct copies c;
	int status = 0;

	if (fd < 0) {
		device_complain(r->main.path, fd);
		return EXIT_FAILED;
	}
	if (!copies_read_super(&c, fd, r->main.sectors, NULL) && c.elected >= 0) {
		log_error("main %s is the spare of a dm-remap set; name another main, or the two "
			  "the other way round",
			  printable(r->main.path));
		status = EXIT_UNDONE;
	}
	copies_free(&c);
	close(fd);
	return status;
}

/* Look at the spare, which is ours alone through @fd, and write to it only what it may hold. */
static int write_spare(struct request *r, int fd)
{
	int status, err;

	status = refuse_content(r);
	if (!status)
		status = refuse_old_set(r, fd);
	if (status)
		return status;
	err = r->force ? probe_wipe(&r->spare) : 0;
	if (err) {
		log_error("cannot erase the signatures on spare %s: %s", printable(r->spare.path),
			  strerror(-err));
		return EXIT_FAILED;
	}
	return write_set(r, fd);
}

static int create(struct request *r)
{
	char text[UUID_STR_LEN];
	int status, fd;

	status = read_members(r);
	if (!status)
		status = refuse_impossible(r);
	if (!status)
		status = refuse_spare_as_main(r);
	if (status)
		return status;
	/* held from the first look to the last write: nobody makes or mounts anything there meanwhile */
	fd = device_open(&r->spare, true);
	if (fd < 0) {
		device_complain(r->spare.path, fd);
		return EXIT_FAILED;
	}
	status = write_spare(r, fd);
	close(fd);
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
