/* SPDX-License-Identifier: GPL-2.0-only */
/* Facts about one block device or image file, from sysfs, /proc and libblkid. */
#ifndef DEVICE_H
#define DEVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "format.h"

#define DEVICE_TEXT 128

/* Strings are empty where there is no such fact. They come from outside: printable() first. */
struct device {
	char path[256]; /* as named by the user, or /dev/<kernel name> */
	bool is_file; /* an image file */
	dev_t dev; /* number of the block device; file: of its file system */
	ino_t ino; /* file only */
	uint64_t sectors; /* size */
	uint32_t block; /* logical block size, bytes */
	dev_t disk; /* whole disk of a partition, else dev */
	uint64_t start; /* of a partition in its disk, sectors */
	uint32_t part_number; /* 0 = not a partition */
	bool read_only;
	bool removable; /* its medium, or itself, or one of those that it is made of: anybody may bring it */
	uint64_t diskseq; /* of its disk: no other one since the boot had it; 0 = older kernel */
	bool zoned;
	char dm_uuid[DEVICE_TEXT]; /* of a device-mapper device */
	char wwid[DEVICE_TEXT];
	char serial[64];
	char partuuid[40]; /* the rest: filled by device_probe() */
	char ptuuid[40];
	char fsuuid[40];
	char in_use[DEVICE_TEXT]; /* filled by device_probe(): "mounted on /", or empty */
};

/*
 * Fill @d from stat and sysfs, without opening the device. Returns 0 or a negative errno: -EISDIR
 * for a directory, -ENOTBLK for what is neither a block device nor a regular file.
 */
int device_read(struct device *d, const char *path);

/* The same of the block device with number @dev. -ENODEV if there is none any more. */
int device_read_number(struct device *d, dev_t dev);

/*
 * Add what has to be read from the device itself, and whether it is in use, with @claim also by
 * device_claimable().
 */
void device_probe(struct device *d, bool claim);

/*
 * The one sure way to know that nobody uses a block device: open it exclusively. For that instant
 * nobody else can mount it, so this is not for devices that are none of our business.
 */
bool device_claimable(const struct device *d);

/* True if its number is another disk's by now: this one was taken away. */
bool device_replaced(const struct device *d);

/* True if the device, or a partition of it, is mounted somewhere, swap, or below another device. */
bool device_used(const struct device *d);

/*
 * True if @line of /proc/self/mountinfo says that @dev is mounted, and the place in @where. Some file
 * systems (btrfs) have a number of their own there; then the source they name is looked at.
 */
bool device_mount_line(const char *line, dev_t dev, char *where, size_t size);

/*
 * Open the device that @d describes; -ENODEV if @d->path is another one by now. On block devices
 * writers always get O_EXCL, and O_DIRECT keeps the page cache out of the way: an active
 * target reads and writes below it. Returns a descriptor or a negative errno.
 */
int device_open(const struct device *d, bool write);

/* Say on stderr why @path can't be used (@err as from device_read() or device_open()). */
void device_complain(const char *path, int err);

/* True if @a and @b share sectors as whole disk and partition, or are the same device. Pure. */
bool device_overlap(const struct device *a, const struct device *b);

/*
 * Why @a and @b can't be the two members of a set: they share sectors, also through a device
 * stacked on one of them. NULL if they don't.
 */
const char *device_conflict(const struct device *a, const struct device *b);

/* What is written into the superblock to recognise @d again. */
void device_identity(const struct device *d, struct dmr_identity *id);

/* Why no member of a set can be on the block device, or not now; NULL if one can. */
const char *device_passed_over(const struct device *d);

/*
 * Block devices that could be members of a set, facts read and not yet probed. Returns their
 * number or a negative errno; the caller frees *@list.
 */
int device_list(struct device **list);

#endif
