// SPDX-License-Identifier: GPL-2.0-only
#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "partitions.h"
#include "sysfs.h"
#include "task.h"

/* udev may be looking at a device just now. */
#define TRIES 40
static const struct timespec a_moment = {.tv_nsec = 50 * 1000 * 1000};

#define PART_UUID_SIZE 128

/* As kpartx has it, so that others know such a device, too. */
static void part_uuid(const struct active_set *set, int number, char text[PART_UUID_SIZE])
{
	char uuid[UUID_STR_LEN];

	uuid_unparse_lower(set->uuid, uuid);
	snprintf(text, PART_UUID_SIZE, "part%d-" UUID_PREFIX "%s", number, uuid);
}

/* The number of the set's partition that DM device @dev is; 0 if it is none. */
static int part_of(dev_t dev, const struct active_set *set)
{
	char text[PART_UUID_SIZE], expected[PART_UUID_SIZE];
	int number;

	if (!sysfs_text(dev, "dm/uuid", text, sizeof(text)) ||
	    sscanf(text, "part%d-", &number) != 1)
		return 0;
	part_uuid(set, number, expected);
	return strcmp(text, expected) ? 0 : number;
}

dev_t partitions_device(const struct active_set *set, int number)
{
	dev_t holder[MAX_PARTITIONS];
	int n = sysfs_related(set->dev, "holders", holder, MAX_PARTITIONS);

	for (int i = 0; i < n; i++) {
		if (part_of(holder[i], set) == number)
			return holder[i];
	}
	return 0;
}

static int map_one(const struct active_set *set, int number, uint64_t start, uint64_t sectors)
{
	char name[DMR_NAME_SIZE + 16], uuid[PART_UUID_SIZE], params[64];
	const struct mapping m = {
		.name = name,
		.uuid = uuid,
		.target = "linear",
		.params = params,
		.length = sectors,
		.read_only = sysfs_number(set->dev, "ro", 0),
	};
	int err;

	if (partitions_device(set, number))
		return 0;
	snprintf(name, sizeof(name), "%s-part%d", set->name, number);
	part_uuid(set, number, uuid);
	snprintf(params, sizeof(params), "%u:%u %" PRIu64, major(set->dev), minor(set->dev), start);
	err = task_map(&m);
	if (err)
		log_error("%s: partition %d cannot be mapped: %s", set->name, number,
			  strerror(-err));
	return err;
}

/* The table is read as the set shows it: some of it may have moved. */
static int map_all(const struct active_set *set)
{
	char node[64];
	blkid_probe pr = sysfs_node(set->dev, node, sizeof(node))
				 ? blkid_new_probe_from_filename(node)
				 : NULL;
	blkid_partlist list = pr ? blkid_probe_get_partitions(pr) : NULL;
	int n = list ? blkid_partlist_numof_partitions(list) : 0, status = 0;
	const uint64_t end = sysfs_number(set->dev, "size", 0);

	for (int i = 0; i < n; i++) {
		blkid_partition part = blkid_partlist_get_partition(list, i);
		uint64_t start = blkid_partition_get_start(part);
		uint64_t sectors = blkid_partition_get_size(part);
		int err = 0;

		/* a table may say more than there is, and then the kernel's own partition is cut, too */
		if (start < end && sectors > end - start)
			sectors = end - start;
		/* an extended one is a container of others */
		if (start < end && !blkid_partition_is_extended(part))
			err = map_one(set, blkid_partition_get_partno(part), start, sectors);
		status = status ? status : err;
	}
	blkid_free_probe(pr);
	return status;
}

/* Partitions are looked for on whole disks, and on what can have them, only. */
static bool has_partitions(dev_t main)
{
	return !sysfs_number(main, "partition", 0) && sysfs_number(main, "ext_range", 1) > 1;
}

static int open_node(dev_t dev)
{
	char node[64];

	return sysfs_node(dev, node, sizeof(node)) ? open(node, O_RDONLY | O_CLOEXEC) : -1;
}

static void drop_one(int disk, int number)
{
	struct blkpg_partition p = {.pno = number};
	struct blkpg_ioctl_arg arg = {.op = BLKPG_DEL_PARTITION, .datalen = sizeof(p), .data = &p};

	for (int i = 0; ioctl(disk, BLKPG, &arg) && errno == EBUSY && i < TRIES; i++)
		nanosleep(&a_moment, NULL);
}

/* What cannot be dropped stays, and is busy: the disk it is on is held by the set. */
static void drop_mapped(const struct active_set *set)
{
	dev_t part[MAX_PARTITIONS];
	int n = sysfs_partitions(set->main, part, MAX_PARTITIONS);
	int disk = n ? open_node(set->main) : -1;

	for (int i = 0; disk >= 0 && i < n; i++) {
		int number = sysfs_number(part[i], "partition", 0);

		if (partitions_device(set, number))
			drop_one(disk, number);
	}
	if (disk >= 0)
		close(disk);
}

int partitions_map(const struct active_set *set)
{
	int err;

	if (!has_partitions(set->main))
		return 0;
	err = map_all(set);
	drop_mapped(set);
	return err;
}

bool partitions_used(const struct active_set *set)
{
	dev_t holder[MAX_PARTITIONS];
	int n = sysfs_related(set->dev, "holders", holder, MAX_PARTITIONS), parts = 0;
	char name[DMR_NAME_SIZE + 16];

	for (int i = 0; i < n; i++) {
		if (!part_of(holder[i], set) ||
		    !sysfs_text(holder[i], "dm/name", name, sizeof(name)))
			continue;
		if (task_open_count(name))
			return true;
		parts++;
	}
	return task_open_count(set->name) != parts;
}

int partitions_unmap(const struct active_set *set, char *name, size_t size)
{
	dev_t holder[MAX_PARTITIONS];
	int n = sysfs_related(set->dev, "holders", holder, MAX_PARTITIONS), count = 0, err;

	for (int i = 0; i < n; i++) {
		if (!part_of(holder[i], set) || !sysfs_text(holder[i], "dm/name", name, size))
			continue;
		err = task_unmap(name);
		if (err) {
			map_all(set);
			return err;
		}
		count++;
	}
	return count;
}

void partitions_return(dev_t main)
{
	int disk = open_node(main), left = TRIES;

	while (disk >= 0 && ioctl(disk, BLKRRPART) && --left)
		nanosleep(&a_moment, NULL);
	if (disk < 0 || !left)
		log_error("the main's own partitions are not back; 'partprobe' looks for them");
	if (disk >= 0)
		close(disk);
}
