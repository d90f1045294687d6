// SPDX-License-Identifier: GPL-2.0-only
/*
 * What disks say of themselves, and what the kernel's tables say of them: strings from sysfs and /proc, in pieces that end
 * with a NUL. They stay what they are on their way through the config, and are harmless wherever they are shown.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "active.h"
#include "device.h"
#include "log.h"
#include "sysfs.h"
#include "tags.h"

static void check_shown(const char *text)
{
	json_t *string = json_text(text);
	const char *shown = printable(text);

	for (const char *c = shown; *c; c++)
		assert(*c >= ' ' && *c < 127);
	assert(json_is_string(string) || (!*text && json_is_null(string)));
	json_decref(string);
}

/* The line that `dmremap config` prints finds the device, and no other. */
static void check_tags(const struct device *d)
{
	struct tags tags = {0};
	struct device other = *d;
	char text[TAGS_TEXT];

	tags_write(d, text, sizeof(text));
	for (const char *c = text; *c; c++)
		assert(*c > ' ' && *c < 127);
	assert(tags_parse(&tags, text) && tags_match(&tags, d));
	strcat(strcpy(other.path, d->path), "x");
	other.wwid[0] ^= 1;
	other.serial[0] ^= 1;
	other.partuuid[0] ^= 1;
	assert(!tags_match(&tags, &other));
}

static void check_device(const char *data, size_t size)
{
	struct device d = {.path = "/dev/sda", .part_number = size & 1};
	const char *rest = memchr(data, 0, size) ?: data + size;

	if (d.part_number)
		strcpy(d.partuuid, "5c0ffee0-01");
	sysfs_trim(d.wwid, sizeof(d.wwid), data, rest - data);
	size -= rest - data;
	if (!sysfs_page_serial(rest, size, d.serial, sizeof(d.serial)))
		assert(!*d.serial);
	assert(*d.wwid != ' ' && *d.serial != ' ');
	check_shown(d.wwid);
	check_shown(d.serial);
	check_tags(&d);
}

static void check_tables(const char *text)
{
	struct active_status status = {0};
	struct ranges pending = {0};
	char where[32];

	if (device_mount_line(text, 1, where, sizeof(where)))
		assert(strlen(where) < sizeof(where));
	if (active_parse_status(text, &status))
		assert(strlen(status.mode) < sizeof(status.mode));
	if (active_parse_pending(text, &pending)) {
		for (size_t i = 1; i < pending.count; i++)
			assert(pending.range[i - 1].start + pending.range[i - 1].sectors <
			       pending.range[i].start);
	}
	ranges_free(&pending);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	check_device(text, size);
	check_tables(text);
	free(text);
	return 0;
}
