// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "copies.h"
#include "log.h"
#include "mend.h"
#include "probe.h"
#include "spare.h"

int spare_refuse(const struct device *spare, const char *main, uint32_t block,
		 struct dmr_layout *layout)
{
	const char *path = printable(spare->path);

	if (*spare->in_use)
		log_error("spare %s is %s; release it, or name another spare", path,
			  printable(spare->in_use));
	else if (spare->read_only)
		log_error("spare %s is read-only; name another spare", path);
	else if (spare->zoned)
		log_error("%s is a zoned device; these are not supported", path);
	else if (spare->sectors > DMR_MAX_SECTORS)
		log_error("%s is larger than supported (128 PiB)", path);
	else if (spare->block > block)
		log_error("spare %s has logical blocks of %u bytes, main %s of %u; the spare's may "
			  "not be larger",
			  path, spare->block, main, block);
	else if (dmr_layout_init(layout, spare->sectors) != DMR_OK)
		log_error("spare %s is too small: it has %" PRIu64 " sectors and needs at least %d",
			  path, spare->sectors, DMR_MIN_SECTORS);
	else
		return 0;
	return EXIT_UNDONE;
}

void spare_identity(const struct device *spare, struct dmr_super *s)
{
	device_identity(spare, &s->spare);
	/* what was on the spare is about to be overwritten */
	memset(s->spare.fsuuid, 0, sizeof(s->spare.fsuuid));
	memset(s->spare.ptuuid, 0, spare->part_number ? 0 : sizeof(s->spare.ptuuid));
	dmr_seal(s);
}

int spare_refuse_content(const struct device *spare, bool force)
{
	const char *path = printable(spare->path);
	char name[64];
	int found = probe_signature(spare, name, sizeof(name));

	if (found < 0) {
		log_error("spare %s cannot be read: %s; name another spare", path,
			  strerror(-found));
		return EXIT_FAILED;
	}
	if (!found || force)
		return 0;
	log_error("spare %s holds a signature of type %s; --force overwrites it", path,
		  printable(name));
	return EXIT_UNDONE;
}

/* A set that already lives on the spare. One of a newer format is left alone even by --force. */
static int refuse_old_set(const struct device *spare, bool force, int fd)
{
	const char *path = printable(spare->path);
	struct copies c;
	int status = 0;

	if (copies_read_super(&c, fd, spare->sectors, NULL)) {
		log_error("out of memory");
		status = EXIT_FAILED;
	} else if (copies_newer_format(&c)) {
		log_error("spare %s holds a set of a newer dm-remap; erase it with that, or name "
			  "another spare",
			  path);
		status = EXIT_UNDONE;
	} else if (c.verdict != VERDICT_NONE && !force) {
		log_error("spare %s already holds a dm-remap set; --force overwrites it", path);
		status = EXIT_UNDONE;
	}
	copies_free(&c);
	return status;
}

/* Write the set, and believe it only once it has been read back. */
static int write_set(const struct device *spare, struct dmr_super *s, int fd)
{
	struct dmr_layout layout;
	struct copies c;
	int err;

	dmr_layout_init(&layout, spare->sectors);
	err = mend_format(fd, &layout, s);
	if (!err)
		err = copies_read(&c, fd, spare->sectors, s->header.uuid);
	if (!err) {
		if (c.verdict != VERDICT_CLEAN)
			err = -EIO;
		copies_free(&c);
	}
	if (!err)
		return EXIT_FINE;
	log_error("cannot write the metadata to spare %s: %s", printable(spare->path),
		  strerror(-err));
	return EXIT_FAILED;
}

/* Look at the spare, which is ours alone through @fd, and write to it only what it may hold. */
static int look_and_write(const struct device *spare, bool force, struct dmr_super *s, int fd)
{
	int status, err;

	status = spare_refuse_content(spare, force);
	if (!status)
		status = refuse_old_set(spare, force, fd);
	if (status)
		return status;
	err = force ? probe_wipe(spare) : 0;
	if (err) {
		log_error("cannot erase the signatures on spare %s: %s", printable(spare->path),
			  strerror(-err));
		return EXIT_FAILED;
	}
	return write_set(spare, s, fd);
}

int spare_write(const struct device *spare, bool force, struct dmr_super *s)
{
	/* held from the first look to the last write: nobody makes or mounts anything there meanwhile */
	int fd = device_open(spare, true), status;

	if (fd < 0) {
		device_complain(spare->path, fd);
		return EXIT_FAILED;
	}
	status = look_and_write(spare, force, s, fd);
	close(fd);
	return status;
}
