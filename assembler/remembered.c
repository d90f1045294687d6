// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "log.h"
#include "remembered.h"
#include "sysfs.h"

/* Each is named by its path with '!' for '/', as sysfs has it, and says of which set it is. */
#define SPARES DMREMAP_RUN_DIR "/spares"

static void file_of(const char *path, char *file, size_t size)
{
	snprintf(file, size, SPARES "/%s", path);
	for (char *c = file + strlen(SPARES "/"); *c; c++) {
		if (*c == '/')
			*c = '!';
	}
}

/* False if @path is not remembered. */
static bool recall(const char *path, uuid_t uuid)
{
	char file[300], text[UUID_STR_LEN] = "";
	FILE *f;

	file_of(path, file, sizeof(file));
	f = fopen(file, "re");
	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f) || uuid_parse(text, uuid))
		uuid_clear(uuid);
	fclose(f);
	return true;
}

bool remember(const char *path, const uint8_t *uuid)
{
	char file[300], text[UUID_STR_LEN + 1];
	uuid_t before;
	int err;

	if (recall(path, before) && !uuid_compare(before, uuid))
		return false;
	mkdir(DMREMAP_RUN_DIR, 0755);
	mkdir(SPARES, 0755);
	uuid_unparse_lower(uuid, text);
	strcat(text, "\n");
	file_of(path, file, sizeof(file));
	err = log_write(file, O_CREAT | O_TRUNC, text);
	if (err)
		log_error("cannot write %s: %s", printable(file), strerror(-err));
	return !err;
}

bool forget(const char *path, uuid_t uuid)
{
	char file[300];

	if (!recall(path, uuid))
		return false;
	file_of(path, file, sizeof(file));
	return !unlink(file);
}

bool remembered_member(dev_t dev, uuid_t set)
{
	static const char property[] = "E:DM_REMAP_SET=";
	const size_t prefix = strlen(property);
	char file[64], line[256];
	bool found = false;
	FILE *f;

	snprintf(file, sizeof(file), "/run/udev/data/b%u:%u", major(dev), minor(dev));
	f = fopen(file, "re");
	while (f && !found && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		found = !strncmp(line, property, prefix) && !uuid_parse(line + prefix, set);
	}
	if (f)
		fclose(f);
	return found;
}

bool remembered_set(const uuid_t set)
{
	char **paths;
	int n = remembered(&paths);
	bool found = false;
	uuid_t uuid;

	for (int i = 0; i < n && !found; i++)
		found = recall(paths[i], uuid) && !uuid_compare(uuid, set);
	free_paths(paths, n);
	return found;
}

static int no_dots(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

int remembered(char ***paths)
{
	struct dirent **entries = NULL;
	int count = scandir(SPARES, &entries, no_dots, alphasort), n = 0;

	*paths = calloc(count > 0 ? count : 1, sizeof(**paths));
	for (int i = 0; i < count; i++) {
		char *path = *paths ? strdup(entries[i]->d_name) : NULL;

		if (path)
			(*paths)[n++] = sysfs_slashes(path);
		free(entries[i]);
	}
	free(entries);
	return n;
}

void free_paths(char **paths, int count)
{
	for (int i = 0; i < count; i++)
		free(paths[i]);
	free(paths);
}
