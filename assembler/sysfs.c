// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "log.h"
#include "sysfs.h"

static void attribute_path(dev_t dev, const char *attribute, char *path, size_t size)
{
	snprintf(path, size, "/sys/dev/block/%u:%u/%s", major(dev), minor(dev), attribute);
}

static ssize_t read_attribute(dev_t dev, const char *attribute, char *data, size_t size)
{
	char path[PATH_MAX];
	ssize_t n;
	int fd;

	attribute_path(dev, attribute, path, sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, data, size);
	close(fd);
	return n;
}

void sysfs_trim(char *text, size_t size, const char *data, size_t n)
{
	size_t used = 0;

	for (size_t i = 0; i < n && used < size - 1; i++) {
		if (data[i] && (used || data[i] != ' '))
			text[used++] = data[i];
	}
	while (used && strchr(" \t\n", text[used - 1]))
		used--;
	text[used] = '\0';
}

bool sysfs_text(dev_t dev, const char *attribute, char *text, size_t size)
{
	char data[PATH_MAX];
	ssize_t n = read_attribute(dev, attribute, data, sizeof(data));

	*text = '\0';
	if (n < 0)
		return false;
	sysfs_trim(text, size, data, n);
	return true;
}

uint64_t sysfs_number(dev_t dev, const char *attribute, uint64_t otherwise)
{
	char text[64];

	return sysfs_text(dev, attribute, text, sizeof(text)) ? strtoull(text, NULL, 10)
							      : otherwise;
}

static dev_t parse_dev(const char *text)
{
	unsigned int maj, min;

	return sscanf(text, "%u:%u", &maj, &min) == 2 ? makedev(maj, min) : 0;
}

dev_t sysfs_dev(dev_t dev, const char *attribute)
{
	char text[64];

	return sysfs_text(dev, attribute, text, sizeof(text)) ? parse_dev(text) : 0;
}

/* Where the links of sysfs lead to: .../block/sda/sda1 */
static bool device_dir(dev_t dev, char *path)
{
	char link[64];

	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(dev), minor(dev));
	return realpath(link, path) != NULL;
}

char *sysfs_slashes(char *name)
{
	for (char *c = strchr(name, '!'); c; c = strchr(c, '!'))
		*c = '/';
	return name;
}

bool sysfs_node(dev_t dev, char *path, size_t size)
{
	char dir[PATH_MAX];

	if (!device_dir(dev, dir))
		return false;
	return (size_t)snprintf(path, size, "/dev/%s", sysfs_slashes(strrchr(dir, '/') + 1)) < size;
}

bool sysfs_on_usb(dev_t dev)
{
	char dir[PATH_MAX];

	return device_dir(dev, dir) && strstr(dir, "/usb");
}

int sysfs_related(dev_t dev, const char *relation, dev_t *list, int max)
{
	char path[PATH_MAX], attribute[NAME_MAX + 32];
	struct dirent *entry;
	int n = 0;
	DIR *dir;

	attribute_path(dev, relation, path, sizeof(path));
	dir = opendir(path);
	if (!dir)
		return 0;
	while (n < max && (entry = readdir(dir))) {
		/* a device is a directory, or a link to one; all the rest are its own attributes */
		if (entry->d_name[0] == '.' || entry->d_type == DT_REG)
			continue;
		snprintf(attribute, sizeof(attribute), "%s/%s/dev", relation, entry->d_name);
		list[n] = sysfs_dev(dev, attribute);
		if (list[n])
			n++;
	}
	closedir(dir);
	return n;
}

int sysfs_partitions(dev_t disk, dev_t *list, int max)
{
	int n = sysfs_related(disk, ".", list, max), kept = 0;

	/* not all that has a number there is a partition */
	for (int i = 0; i < n; i++) {
		if (sysfs_number(list[i], "partition", 0))
			list[kept++] = list[i];
	}
	return kept;
}

void sysfs_announce(dev_t dev)
{
	dev_t part[MAX_PARTITIONS];
	int n = sysfs_partitions(dev, part, MAX_PARTITIONS);
	char path[PATH_MAX];

	attribute_path(dev, "uevent", path, sizeof(path));
	log_write(path, 0, "change");
	for (int i = 0; i < n; i++)
		sysfs_announce(part[i]);
}

bool sysfs_page_serial(const char *page, size_t n, char *text, size_t size)
{
	size_t length;

	*text = '\0';
	if (n < 4)
		return false;
	length = (unsigned char)page[2] << 8 | (unsigned char)page[3];
	if (length > n - 4)
		length = n - 4;
	sysfs_trim(text, size, page + 4, length);
	return *text;
}

bool sysfs_scsi_serial(dev_t disk, char *text, size_t size)
{
	char page[256];
	ssize_t n = read_attribute(disk, "device/vpd_pg80", page, sizeof(page));

	return sysfs_page_serial(page, n < 0 ? 0 : n, text, size);
}
