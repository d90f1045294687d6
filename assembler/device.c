// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/major.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "device.h"
#include "log.h"
#include "probe.h"
#include "sysfs.h"

#define MAX_DEPTH 16

/* The first of these attributes that says something identifies the disk. */
static void read_first(dev_t disk, const char *const *attributes, char *text, size_t size)
{
	*text = '\0';
	for (; *attributes && !*text; attributes++)
		sysfs_text(disk, *attributes, text, size);
}

static void read_hardware_ids(struct device *d)
{
	static const char *const wwid[] = {"wwid", "device/wwid", "device/cid", NULL};
	static const char *const serial[] = {"serial", "device/serial", NULL};

	read_first(d->disk, wwid, d->wwid, sizeof(d->wwid));
	read_first(d->disk, serial, d->serial, sizeof(d->serial));
	if (!*d->serial)
		sysfs_scsi_serial(d->disk, d->serial, sizeof(d->serial));
	sysfs_text(d->disk, "dm/uuid", d->dm_uuid, sizeof(d->dm_uuid));
	/* a logical volume has no hardware, but its name is as good */
	if (!*d->wwid && *d->dm_uuid)
		snprintf(d->wwid, sizeof(d->wwid), "%s", d->dm_uuid);
}

static dev_t whole_disk(dev_t dev)
{
	return sysfs_number(dev, "partition", 0) ? sysfs_dev(dev, "../dev") : dev;
}

/*
 * Whether whoever stands before the machine, or is logged in, may have brought it, as it is or below other
 * devices. Anybody may set up a loop device where the desktop lets him; the kernel calls no card removable.
 */
static bool is_removable(dev_t dev, int depth)
{
	const dev_t disk = whole_disk(dev);
	dev_t below[MAX_RELATED];
	char type[8];
	int n;

	if (major(disk) == LOOP_MAJOR || major(disk) == NBD_MAJOR ||
	    sysfs_number(disk, "removable", 0) || sysfs_on_usb(disk) ||
	    (sysfs_text(disk, "device/type", type, sizeof(type)) && !strcmp(type, "SD")))
		return true;
	n = depth ? sysfs_related(disk, "slaves", below, MAX_RELATED) : 0;
	for (int i = 0; i < n; i++) {
		if (is_removable(below[i], depth - 1))
			return true;
	}
	return false;
}

static void read_block_device(struct device *d)
{
	char text[32];

	d->part_number = sysfs_number(d->dev, "partition", 0);
	d->disk = whole_disk(d->dev);
	d->start = sysfs_number(d->dev, "start", 0);
	d->sectors = sysfs_number(d->dev, "size", 0);
	d->read_only = sysfs_number(d->dev, "ro", 0);
	d->block = sysfs_number(d->disk, "queue/logical_block_size", DMR_SECTOR_SIZE);
	d->removable = is_removable(d->disk, MAX_DEPTH);
	d->diskseq = sysfs_number(d->disk, "diskseq", 0);
	d->zoned = sysfs_text(d->disk, "queue/zoned", text, sizeof(text)) && strcmp(text, "none");
	read_hardware_ids(d);
}

int device_read(struct device *d, const char *path)
{
	struct stat st;

	memset(d, 0, sizeof(*d));
	if ((size_t)snprintf(d->path, sizeof(d->path), "%s", path) >= sizeof(d->path))
		return -ENAMETOOLONG;
	if (stat(path, &st))
		return -errno;
	if (S_ISBLK(st.st_mode)) {
		d->dev = st.st_rdev;
		read_block_device(d);
		return 0;
	}
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -ENOTBLK;
	d->is_file = true;
	d->dev = st.st_dev;
	d->disk = d->dev;
	d->ino = st.st_ino;
	d->sectors = st.st_size / DMR_SECTOR_SIZE;
	d->block = DMR_SECTOR_SIZE;
	d->read_only = access(path, W_OK) && errno == EROFS;
	return 0;
}

int device_read_number(struct device *d, dev_t dev)
{
	char path[sizeof(d->path)];

	return sysfs_node(dev, path, sizeof(path)) ? device_read(d, path) : -ENODEV;
}

/* True if the backing file of loop device @loop is image file @d. */
static bool loop_backed_by(dev_t loop, const struct device *d)
{
	char file[PATH_MAX];
	struct stat st;

	return sysfs_text(loop, "loop/backing_file", file, sizeof(file)) && *file &&
	       !stat(file, &st) && st.st_dev == d->dev && st.st_ino == d->ino;
}

/* The loop device over image file @d, or 0. */
static dev_t loop_over(const struct device *d)
{
	DIR *dir = opendir("/sys/class/block");
	struct dirent *entry;
	dev_t loop = 0;
	char node[PATH_MAX];
	struct stat st;

	if (!dir)
		return 0;
	while (!loop && (entry = readdir(dir))) {
		snprintf(node, sizeof(node), "/dev/%s", entry->d_name);
		if (!strncmp(entry->d_name, "loop", 4) && !stat(node, &st) && S_ISBLK(st.st_mode) &&
		    loop_backed_by(st.st_rdev, d))
			loop = st.st_rdev;
	}
	closedir(dir);
	return loop;
}

static bool leads_to(const char *path, dev_t dev)
{
	struct stat st;

	return !strncmp(path, "/dev/", 5) && !stat(path, &st) && S_ISBLK(st.st_mode) &&
	       st.st_rdev == dev;
}

bool device_mount_line(const char *line, dev_t dev, char *where, size_t size)
{
	char place[PATH_MAX], source[PATH_MAX];
	const char *rest = strstr(line, " - ");
	unsigned int maj, min;

	if (sscanf(line, "%*u %*u %u:%u %*s %4095s", &maj, &min, place) != 3)
		return false;
	if (makedev(maj, min) != dev &&
	    (maj || !rest || sscanf(rest, " - %*s %4095s", source) != 1 || !leads_to(source, dev)))
		return false;
	snprintf(where, size, "%.*s", (int)size - 1, place);
	return true;
}

/* Where /proc/self/mountinfo says that @dev is mounted: true and the place in @where. */
static bool mounted(dev_t dev, char *where, size_t size)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[PATH_MAX * 2];
	bool found = false;

	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = device_mount_line(line, dev, where, size);
	fclose(f);
	return found;
}

static bool swapped_on(dev_t dev)
{
	FILE *f = fopen("/proc/swaps", "re");
	char line[PATH_MAX * 2], path[PATH_MAX];
	bool found = false;

	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = sscanf(line, "%4095s", path) == 1 && leads_to(path, dev);
	fclose(f);
	return found;
}

/* Say in @text what the block device is used for by itself: "mounted on /", "in use as swap", "used by /dev/dm-0". */
static bool used_directly(dev_t dev, char *text, size_t size)
{
	char where[64];
	dev_t other;

	if (mounted(dev, where, sizeof(where)))
		snprintf(text, size, "mounted on %s", where);
	else if (swapped_on(dev))
		snprintf(text, size, "in use as swap");
	else if (sysfs_related(dev, "holders", &other, 1) &&
		 sysfs_node(other, where, sizeof(where)))
		snprintf(text, size, "used by %s", where);
	else
		return false;
	return true;
}

/* The same, also if only one of its partitions is. */
static bool used_directly_or_in_part(dev_t dev, char *text, size_t size)
{
	dev_t part[MAX_PARTITIONS];
	char use[80], node[32];
	int n;

	if (used_directly(dev, text, size))
		return true;
	n = sysfs_partitions(dev, part, MAX_PARTITIONS);
	for (int i = 0; i < n; i++) {
		if (!used_directly(part[i], use, sizeof(use)) ||
		    !sysfs_node(part[i], node, sizeof(node)))
			continue;
		snprintf(text, size, "in use: %s is %s", node, use);
		return true;
	}
	return false;
}

bool device_used(const struct device *d)
{
	char use[DEVICE_TEXT];

	return !d->is_file && used_directly_or_in_part(d->dev, use, sizeof(use));
}

bool device_replaced(const struct device *d)
{
	return !d->is_file && sysfs_number(d->disk, "diskseq", 0) != d->diskseq;
}

bool device_claimable(const struct device *d)
{
	int fd = open(d->path, O_RDONLY | O_EXCL | O_CLOEXEC);

	if (fd < 0)
		return errno != EBUSY;
	close(fd);
	return true;
}

/* Say in d->in_use by whom the device is used, if it is. */
static void find_use(struct device *d, bool claim)
{
	char text[DEVICE_TEXT - 20];
	dev_t other;

	if (d->is_file) {
		other = loop_over(d);
		if (other && sysfs_node(other, text, sizeof(text)))
			snprintf(d->in_use, sizeof(d->in_use), "used by %s", text);
		return;
	}
	if (used_directly_or_in_part(d->dev, d->in_use, sizeof(d->in_use)))
		return;
	if (claim && !device_claimable(d))
		snprintf(d->in_use, sizeof(d->in_use),
			 "in use (mounted, swap, or part of another device)");
}

void device_probe(struct device *d, bool claim)
{
	probe_ids(d);
	find_use(d, claim);
}

int device_open(const struct device *d, bool write)
{
	int flags = (write ? O_RDWR : O_RDONLY) | O_CLOEXEC;
	struct stat st;
	int fd;

	if (write && d->is_file && loop_over(d))
		return -EBUSY;
	if (!d->is_file)
		flags |= O_DIRECT | (write ? O_EXCL : 0);
	fd = open(d->path, flags);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || (d->is_file ? st.st_dev != d->dev || st.st_ino != d->ino
					  : !S_ISBLK(st.st_mode) || st.st_rdev != d->dev)) {
		close(fd);
		return -ENODEV;
	}
	return fd;
}

void device_complain(const char *path, int err)
{
	switch (err) {
	case -EISDIR:
		log_error("%s is a directory; name a block device or an image file",
			  printable(path));
		break;
	case -ENOTBLK:
		log_error("%s is neither a block device nor an image file", printable(path));
		break;
	case -EBUSY:
		log_error("%s is in use; stop the set or unmount it first ('dmremap status' shows "
			  "active sets)",
			  printable(path));
		break;
	case -EACCES:
	case -EPERM:
		log_error("no permission to open %s; try again as root", printable(path));
		break;
	default:
		log_error("cannot open %s: %s", printable(path), strerror(-err));
	}
}

bool device_overlap(const struct device *a, const struct device *b)
{
	if (a->is_file || b->is_file)
		return a->is_file == b->is_file && a->dev == b->dev && a->ino == b->ino;
	if (a->disk != b->disk)
		return false;
	if (a->dev == b->dev || !a->part_number || !b->part_number)
		return true;
	return a->start < b->start + b->sectors && b->start < a->start + a->sectors;
}

/* True if @upper is stacked on something that shares sectors with @lower. */
static bool stacked_on(const struct device *upper, const struct device *lower, int depth)
{
	dev_t slaves[MAX_RELATED];
	struct device slave;
	int n;

	if (upper->is_file || !depth)
		return !depth;
	if (lower->is_file)
		return loop_backed_by(upper->disk, lower);
	n = sysfs_related(upper->disk, "slaves", slaves, MAX_RELATED);
	for (int i = 0; i < n; i++) {
		if (device_read_number(&slave, slaves[i]))
			continue;
		if (device_overlap(&slave, lower) || stacked_on(&slave, lower, depth - 1))
			return true;
	}
	return false;
}

const char *device_conflict(const struct device *a, const struct device *b)
{
	if (a->dev == b->dev && a->ino == b->ino)
		return "are the same device";
	if (device_overlap(a, b))
		return "share sectors (a disk and its own partition)";
	if (stacked_on(a, b, MAX_DEPTH) || stacked_on(b, a, MAX_DEPTH))
		return "share sectors (one is built on the other)";
	return NULL;
}

void device_identity(const struct device *d, struct dmr_identity *id)
{
	memset(id, 0, sizeof(*id));
	id->sectors = cpu_to_le64(d->sectors);
	id->part_number = cpu_to_le32(d->part_number);
	/* these have the same sizes */
	strcpy(id->wwid, d->wwid);
	strcpy(id->serial, d->serial);
	strcpy(id->partuuid, d->partuuid);
	strcpy(id->ptuuid, d->ptuuid);
	strcpy(id->fsuuid, d->fsuuid);
}

const char *device_passed_over(const struct device *d)
{
	const char *name = strrchr(d->path, '/');

	static const struct {
		const char *prefix, *what;
	} never[] = {
		{"ram", "a RAM disk"},    {"zram", "a RAM disk"},    {"sr", "an optical drive"},
		{"fd", "a floppy drive"}, {"mtdblock", "raw flash"},
	};

	name = name ? name + 1 : d->path;
	for (size_t i = 0; i < sizeof(never) / sizeof(*never); i++) {
		if (!strncmp(name, never[i].prefix, strlen(never[i].prefix)))
			return never[i].what;
	}
	if (!d->sectors)
		return "nothing is there";
	if (!strncmp(d->dm_uuid, "DMREMAP-", 8))
		return "the device of a set";
	/* whoever reads it waits until it is resumed */
	if (sysfs_number(d->dev, "dm/suspended", 0))
		return "suspended";
	return NULL;
}

/* Add the device that sysfs calls @name, if it is worth it. Returns how many that are. */
static int list_one(struct device *d, const char *name)
{
	char path[PATH_MAX];
	const char *why;

	snprintf(path, sizeof(path), "/dev/%s", name);
	sysfs_slashes(path);
	if (name[0] == '.' || device_read(d, path) || d->is_file)
		return 0;
	why = device_passed_over(d);
	if (why)
		log_debug("%s is passed over: %s", printable(path), why);
	return !why;
}

int device_list(struct device **list)
{
	struct dirent **names = NULL;
	struct device *devices;
	int count, n = 0;

	count = scandir("/sys/class/block", &names, NULL, versionsort);
	if (count < 0)
		return -errno;
	devices = calloc(count ? count : 1, sizeof(*devices));
	for (int i = 0; i < count; i++) {
		if (devices)
			n += list_one(&devices[n], names[i]->d_name);
		free(names[i]);
	}
	free(names);
	if (!devices)
		return -ENOMEM;
	*list = devices;
	return n;
}
