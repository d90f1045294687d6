// SPDX-License-Identifier: GPL-2.0-only
#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe.h"

static void copy_value(blkid_probe pr, const char *name, char *to, size_t size)
{
	const char *value;

	if (!blkid_probe_lookup_value(pr, name, &value, NULL))
		snprintf(to, size, "%s", value);
}

/* The table that partition @d stands in is read from its disk. */
void probe_partition(struct device *d)
{
	char *disk = d->part_number ? blkid_devno_to_devname(d->disk) : NULL;
	blkid_probe pr = disk ? blkid_new_probe_from_filename(disk) : NULL;
	blkid_partlist list = pr ? blkid_probe_get_partitions(pr) : NULL;
	blkid_partition part = list ? blkid_partlist_devno_to_partition(list, d->dev) : NULL;
	const char *text;

	if (part) {
		text = blkid_partition_get_uuid(part);
		snprintf(d->partuuid, sizeof(d->partuuid), "%s", text ? text : "");
		text = blkid_parttable_get_id(blkid_partition_get_table(part));
		snprintf(d->ptuuid, sizeof(d->ptuuid), "%s", text ? text : "");
	}
	blkid_free_probe(pr);
	free(disk);
}

void probe_ids(struct device *d)
{
	blkid_probe pr = blkid_new_probe_from_filename(d->path);

	if (!pr)
		return;
	blkid_probe_enable_superblocks(pr, 1);
	blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_UUID);
	blkid_probe_enable_partitions(pr, 1);
	if (!blkid_do_safeprobe(pr)) {
		copy_value(pr, "UUID", d->fsuuid, sizeof(d->fsuuid));
		copy_value(pr, "PTUUID", d->ptuuid, sizeof(d->ptuuid));
	}
	blkid_free_probe(pr);
	probe_partition(d);
}

static blkid_probe signature_probe(int fd)
{
	blkid_probe pr = blkid_new_probe();

	if (!pr || blkid_probe_set_device(pr, fd, 0, 0)) {
		blkid_free_probe(pr);
		return NULL;
	}
	blkid_probe_enable_superblocks(pr, 1);
	blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_MAGIC);
	blkid_probe_enable_partitions(pr, 1);
	blkid_probe_set_partitions_flags(pr, BLKID_PARTS_MAGIC | BLKID_PARTS_FORCE_GPT);
	return pr;
}

int probe_signature(const struct device *d, char *name, size_t size)
{
	int fd = open(d->path, O_RDONLY | O_CLOEXEC);
	blkid_probe pr;
	int ret;

	if (fd < 0)
		return -errno;
	pr = signature_probe(fd);
	ret = pr ? blkid_do_probe(pr) : -1;
	if (ret < 0) {
		ret = -EIO;
	} else if (ret == 0) {
		snprintf(name, size, "unknown");
		copy_value(pr, "PTTYPE", name, size);
		copy_value(pr, "TYPE", name, size);
		ret = 1;
	} else {
		ret = 0;
	}
	blkid_free_probe(pr);
	close(fd);
	return ret;
}

int probe_wipe(const struct device *d)
{
	int fd = open(d->path, O_RDWR | O_CLOEXEC);
	blkid_probe pr;
	int ret = -1;

	if (fd < 0)
		return -errno;
	pr = signature_probe(fd);
	if (!pr) {
		close(fd);
		return -EIO;
	}
	/* each round erases one magic; a device that doesn't keep zeros must not hold us for ever */
	for (int round = 0; round < 256; round++) {
		ret = blkid_do_probe(pr);
		if (ret || blkid_do_wipe(pr, 0))
			break;
	}
	if (fsync(fd))
		ret = -1;
	blkid_free_probe(pr);
	close(fd);
	return ret == 1 ? 0 : -EIO;
}
