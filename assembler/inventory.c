// SPDX-License-Identifier: GPL-2.0-only
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "inventory.h"
#include "log.h"
#include "probe.h"

static int read_named(struct inventory *inv, char *const *paths, int count)
{
	int status = 0;

	inv->devices = calloc(count, sizeof(*inv->devices));
	if (!inv->devices)
		return EXIT_FAILED;
	for (int i = 0; i < count; i++) {
		int err = device_read(&inv->devices[inv->device_count], paths[i]);

		if (!err) {
			inv->device_count++;
			continue;
		}
		device_complain(paths[i], err);
		status = EXIT_FAILED;
	}
	return status;
}

static int read_all(struct inventory *inv)
{
	int n = device_list(&inv->devices);

	if (n < 0) {
		log_error("cannot list the block devices: %s", strerror(-n));
		return EXIT_FAILED;
	}
	inv->device_count = n;
	return 0;
}

void inventory_describe(struct found_spare *s, const struct device *d, const struct copies *c)
{
	s->device = d;
	memcpy(s->uuid, c->uuid, sizeof(s->uuid));
	s->super = copies_super(c);
	s->verdict = c->verdict;
	s->reason = c->reason;
	s->valid_copies = copies_valid(c);
}

/* Read the metadata on @d, if there is any. The superblocks alone tell that there is none. */
static void read_spare(struct inventory *inv, const struct device *d)
{
	struct copies *c = &inv->copies[inv->spare_count];
	int fd = device_open(d, false);
	int err;

	if (fd < 0) {
		log_debug("cannot open %s: %s", printable(d->path), strerror(-fd));
		return;
	}
	err = copies_read(c, fd, d->sectors, NULL);
	close(fd);
	if (err || c->verdict == VERDICT_NONE) {
		if (!err && c->reason == DMR_UNREADABLE)
			log_debug("%s cannot be read", printable(d->path));
		copies_free(c);
		return;
	}
	inventory_describe(&inv->spares[inv->spare_count], d, c);
	/* a spare that was made into something else lost its start to that */
	if (c->fault[0] != DMR_OK && c->fault[0] != DMR_STALE)
		probe_signature(d, inv->spares[inv->spare_count].signature,
				sizeof(inv->spares[0].signature));
	inv->spare_count++;
}

int inventory_read(struct inventory *inv, char *const *paths, int count)
{
	int status;

	memset(inv, 0, sizeof(*inv));
	status = count ? read_named(inv, paths, count) : read_all(inv);
	inv->copies = calloc(inv->device_count + 1, sizeof(*inv->copies));
	inv->spares = calloc(inv->device_count + 1, sizeof(*inv->spares));
	if (!inv->copies || !inv->spares)
		return EXIT_FAILED;
	for (size_t i = 0; i < inv->device_count; i++)
		read_spare(inv, &inv->devices[i]);
	/* without a spare nobody asks what the other devices are */
	for (size_t i = 0; inv->spare_count && i < inv->device_count; i++)
		device_probe(&inv->devices[i], false);
	return status;
}

void inventory_free(struct inventory *inv)
{
	for (size_t i = 0; i < inv->spare_count; i++)
		copies_free(&inv->copies[i]);
	free(inv->copies);
	free(inv->spares);
	free(inv->devices);
	memset(inv, 0, sizeof(*inv));
}
