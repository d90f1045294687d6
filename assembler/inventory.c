// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "inventory.h"
#include "log.h"
#include "probe.h"
#include "workers.h"

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

/* What a worker finds out about a device. */
struct answer {
	int err; /* it cannot be opened */
	bool unreadable;
	bool is_spare;
	bool has_super;
	struct found_spare spare; /* but .device and .super */
	struct dmr_super super;
};

static void describe(struct answer *a, const struct device *d, const struct copies *c)
{
	a->is_spare = true;
	memcpy(a->spare.uuid, c->uuid, sizeof(a->spare.uuid));
	a->spare.verdict = c->verdict;
	a->spare.reason = c->reason;
	a->spare.valid_copies = copies_valid(c);
	a->has_super = copies_super(c);
	if (a->has_super)
		a->super = *copies_super(c);
	/* a spare that was made into something else lost its start to that */
	if (copies_lost_start(c))
		probe_signature(d, a->spare.signature, sizeof(a->spare.signature));
}

static bool is_asked(const struct inventory *inv, const struct device *d)
{
	for (int i = 0; i < inv->asked_count; i++) {
		if (!strcmp(inv->asked[i], d->path))
			return true;
	}
	return !inv->asked;
}

/* Read the metadata, if there is any. The superblocks alone tell that there is none. */
static void look_for_metadata(size_t item, void *result, const void *context)
{
	const struct inventory *inv = context;
	const struct device *d = &inv->devices[item];
	struct answer *a = result;
	struct copies c;
	int fd;

	if (!is_asked(inv, d))
		return;
	fd = device_open(d, false);
	if (fd < 0) {
		a->err = fd;
		return;
	}
	a->err = copies_read(&c, fd, d->sectors, NULL);
	close(fd);
	a->unreadable = c.verdict == VERDICT_NONE && c.reason == DMR_UNREADABLE;
	if (!a->err && c.verdict != VERDICT_NONE)
		describe(a, d, &c);
	copies_free(&c);
}

static void take_answer(struct inventory *inv, struct device *d, const struct answer *a)
{
	struct found_spare *s = &inv->spares[inv->spare_count];

	if (!a) {
		log_error("%s does not answer; it is left out", printable(d->path));
		snprintf(d->in_use, sizeof(d->in_use), "not answering");
		return;
	}
	if (a->err)
		log_debug("cannot open %s: %s", printable(d->path), strerror(-a->err));
	if (a->unreadable)
		log_debug("%s cannot be read", printable(d->path));
	if (!a->is_spare)
		return;
	*s = a->spare;
	s->device = d;
	s->super = NULL;
	if (a->has_super) {
		inv->supers[inv->spare_count] = a->super;
		s->super = &inv->supers[inv->spare_count];
	}
	inv->spare_count++;
}

/* Is it a spare, or large enough to be the main of one? Of the others nobody asks what they are. */
static bool is_of_interest(const struct inventory *inv, const struct device *d)
{
	for (size_t i = 0; i < inv->spare_count; i++) {
		const struct found_spare *s = &inv->spares[i];

		if (s->device == d || (s->super && d->sectors >= le64_to_cpu(s->super->length)))
			return true;
	}
	return false;
}

static void find_out(size_t item, void *result, const void *context)
{
	const struct inventory *inv = context;
	struct device *d = result;

	*d = inv->devices[item];
	if (!*d->in_use && is_of_interest(inv, &inv->devices[item]))
		device_probe(d, false);
}

/* Have @work done for each device, for a result of @size bytes. NULL, with the reason said, if it can't be. */
static struct workers *ask_all(const struct inventory *inv, size_t size, work_fn *work)
{
	struct workers *w = workers_start(inv->device_count, size, work, inv);

	if (w)
		workers_wait(w, inv->patience);
	else
		log_error("cannot look at the devices: %s", strerror(errno));
	return w;
}

static int find_spares(struct inventory *inv)
{
	struct workers *w = ask_all(inv, sizeof(struct answer), look_for_metadata);

	for (size_t i = 0; w && i < inv->device_count; i++) {
		const struct answer *a = workers_result(w, i);

		inv->unread += !a || a->err || a->unreadable;
		take_answer(inv, &inv->devices[i], a);
	}
	workers_end(w);
	return w ? 0 : EXIT_FAILED;
}

static int probe_all(struct inventory *inv)
{
	struct workers *w = ask_all(inv, sizeof(struct device), find_out);

	for (size_t i = 0; w && i < inv->device_count; i++) {
		const struct device *probed = workers_result(w, i);

		if (probed)
			inv->devices[i] = *probed;
		else
			take_answer(inv, &inv->devices[i], NULL);
	}
	workers_end(w);
	return w ? 0 : EXIT_FAILED;
}

static int read_devices(struct inventory *inv)
{
	int status;

	inv->spares = calloc(inv->device_count + 1, sizeof(*inv->spares));
	inv->supers = calloc(inv->device_count + 1, sizeof(*inv->supers));
	if (!inv->supers || !inv->spares)
		return EXIT_FAILED;
	status = find_spares(inv);
	/* without a spare nobody asks what the other devices are */
	if (inv->spare_count)
		status |= probe_all(inv);
	return status;
}

int inventory_read(struct inventory *inv, char *const *paths, int count, unsigned int patience)
{
	int status;

	*inv = (struct inventory){.patience = patience};
	status = count ? read_named(inv, paths, count) : read_all(inv);
	return status | read_devices(inv);
}

int inventory_read_spares(struct inventory *inv, char *const *paths, int count)
{
	int status;

	*inv = (struct inventory){
		.asked = paths, .asked_count = count, .patience = INVENTORY_PATIENCE};
	status = read_all(inv);
	return status | read_devices(inv);
}

int inventory_decide(const struct inventory *inv, const struct policy *policy,
		     const struct active_set *active, size_t active_count,
		     const char *const *wanted, size_t wanted_count, struct decision **decisions)
{
	const struct match_input in = {
		.policy = policy,
		.devices = inv->devices,
		.device_count = inv->device_count,
		.spares = inv->spares,
		.spare_count = inv->spare_count,
		.active = active,
		.active_count = active_count,
		.wanted = wanted,
		.wanted_count = wanted_count,
	};
	int n = match_decide(&in, decisions);

	if (n >= 0)
		return n;
	log_error("out of memory");
	return -1;
}

void inventory_free(struct inventory *inv)
{
	free(inv->supers);
	free(inv->spares);
	free(inv->devices);
	memset(inv, 0, sizeof(*inv));
}
