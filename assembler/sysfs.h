/* SPDX-License-Identifier: GPL-2.0-only */
/* Attributes of block devices in sysfs. */
#ifndef SYSFS_H
#define SYSFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Read an attribute of block device @dev, without white space around it; "" if there is none.
 * Returns true if there is one.
 */
bool sysfs_text(dev_t dev, const char *attribute, char *text, size_t size);

/* The same as a number; @otherwise if there is none. */
uint64_t sysfs_number(dev_t dev, const char *attribute, uint64_t otherwise);

/* The device number in an attribute "MAJOR:MINOR"; 0 if there is none. */
dev_t sysfs_dev(dev_t dev, const char *attribute);

/* Turn a name that has '!' for '/', as they have in sysfs, into what it stands for. Returns it. */
char *sysfs_slashes(char *name);

/* /dev/<kernel name> of @dev; false if there is no such device. */
bool sysfs_node(dev_t dev, char *path, size_t size);

/* True if @dev hangs on a USB bus. */
bool sysfs_on_usb(dev_t dev);

/*
 * The devices in the directory @relation ("slaves" or "holders") of @dev. Returns how many of
 * them, at most @max, are in @list.
 */
int sysfs_related(dev_t dev, const char *relation, dev_t *list, int max);

#define MAX_RELATED 64 /* that are looked at of one device */

#define MAX_PARTITIONS 256 /* that the kernel has of one disk */

/* The same of the partitions of disk @disk that the kernel has. */
int sysfs_partitions(dev_t disk, dev_t *list, int max);

/* Have udev look at @dev, and at its partitions, again, as if they had changed. */
void sysfs_announce(dev_t dev);

/* The unit serial number of a SCSI disk, which the kernel only gives as a raw page. */
bool sysfs_scsi_serial(dev_t disk, char *text, size_t size);

/* The pieces of these for @n bytes from anywhere: text without NULs and blanks around it, and a page 0x80. */
void sysfs_trim(char *text, size_t size, const char *data, size_t n);
bool sysfs_page_serial(const char *page, size_t n, char *text, size_t size);

#endif
