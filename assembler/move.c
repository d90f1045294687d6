// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "log.h"
#include "move.h"
#include "report.h"
#include "sysfs.h"

/*
 * Moved by one message, which cannot be interrupted: on a disk that tries for seconds to read a bad
 * sector it already takes minutes. The target itself commits no more at once.
 */
#define MESSAGE_SECTORS 256

/* What there is to do, and what came of it. */
struct job {
	const struct active_set *set;
	char spare[256];
	struct ranges wanted, todo, left; /* left: not moved in the end */
	uint64_t room; /* sectors free on the spare */
	uint64_t done; /* sectors that the target was asked for */
	int err; /* why it ended early */
};

uint64_t move_limit(const struct active_set *set)
{
	return sysfs_number(set->dev, "size", 0);
}

/*
 * Fill @rest with what of @from is not on the spare. What is there is in the set's metadata before
 * the target says so. Returns 0 or, with a complaint, an exit status.
 */
static int not_moved(const struct job *j, const struct ranges *from, struct ranges *rest)
{
	struct ranges moved = {0};
	struct copies copies;
	struct device device;
	int err = 0, status = report_open(j->spare, false, &device, &copies);

	if (!status && copies.verdict == VERDICT_LOST) {
		log_error("nothing is known of what is on the spare: 'dmremap check %s'", j->spare);
		status = EXIT_UNDONE;
	}
	for (size_t i = 0; i < copies.extents && !status && !err; i++)
		err = ranges_add(&moved, le64_to_cpu(copies.extent[i].main),
				 le32_to_cpu(copies.extent[i].sectors));
	report_close(&copies);
	ranges_merge(&moved);
	if (!status && !err)
		err = ranges_without(from, &moved, rest);
	if (err) {
		log_error("%s", strerror(-err));
		status = EXIT_FAILED;
	}
	ranges_free(&moved);
	return status;
}

/* There is no point in asking a target that moves nothing, sector by sector. */
static int check_target(struct job *j)
{
	const char *name = printable(j->set->name);
	struct active_status s;

	if (active_status(j->set, &s)) {
		log_error("%s does not answer as a dm-remap target should", name);
		return EXIT_FAILED;
	}
	if (strcmp(s.mode, "rw")) {
		log_error("nothing can be moved on %s: its mode is '%s' ('dmremap status %s')",
			  name, s.mode, name);
		return EXIT_UNDONE;
	}
	j->room = s.spare_free_sectors;
	return 0;
}

static void show_progress(const struct job *j, uint64_t total)
{
	static unsigned int last = 101;
	unsigned int percent = j->done * 100 / total;

	if (log_verbosity < 0 || !isatty(STDERR_FILENO) || percent == last)
		return;
	fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " sectors, %u %%", j->done, total, percent);
	if (j->done == total)
		fputs("\r\033[K", stderr);
	last = percent;
}

/* What of .todo, from @range and @from in it on, goes with one message. Returns how many ranges. */
static size_t next_message(const struct job *j, size_t *range, uint64_t *from,
			   struct range message[ACTIVE_MOVES])
{
	uint64_t room = MESSAGE_SECTORS;
	size_t n = 0;

	while (*range < j->todo.count && n < ACTIVE_MOVES && room) {
		const struct range *r = &j->todo.range[*range];
		uint64_t left = r->sectors - *from, sectors = left < room ? left : room;

		message[n++] = (struct range){r->start + *from, sectors};
		room -= sectors;
		*from += sectors;
		if (*from == r->sectors) {
			++*range;
			*from = 0;
		}
	}
	return n;
}

/* Ask for all of .todo, up to an error that speaks of more than what was asked for. */
static void ask_target(struct job *j)
{
	uint64_t total = ranges_sectors(&j->todo), from = 0;
	struct range message[ACTIVE_MOVES];
	size_t range = 0, n;

	while (!j->err && (n = next_message(j, &range, &from, message))) {
		show_progress(j, total);
		j->err = active_move(j->set->name, message, n);
		if (j->err == -EIO)
			j->err = 0;
		for (size_t i = 0; i < n; i++)
			j->done += message[i].sectors;
	}
	j->done = total;
	if (total)
		show_progress(j, total);
}

static void print_wanted(const struct job *j)
{
	uint64_t sectors = ranges_sectors(&j->wanted);

	printf("%" PRIu64 " sector%s in %zu place%s: ", sectors, sectors == 1 ? "" : "s",
	       j->wanted.count, j->wanted.count == 1 ? "" : "s");
}

static void list_ranges(const struct ranges *r, const char *why)
{
	char text[RANGE_TEXT];

	for (size_t i = 0; i < r->count; i++)
		log_error("not moved: %s%s", range_text(&r->range[i], text), why);
}

/* Tell what is left, and why. Sectors that could not be read are pending from then on. */
static int report_left(const struct job *j)
{
	struct ranges pending, readable = {0}, unreadable = {0};
	int err = active_pending(j->set->name, &pending);

	if (err)
		log_error("cannot ask %s which sectors are unreadable: %s", printable(j->set->name),
			  strerror(-err));
	else
		err = ranges_without(&j->left, &pending, &readable);
	if (!err)
		err = ranges_without(&j->left, &readable, &unreadable);
	list_ranges(&unreadable, " (cannot be read)");
	list_ranges(err ? &j->left : &readable, "");
	if (unreadable.count)
		log_info("what cannot be read stays on the main until it is written next, and is "
			 "moved then if it must be");
	if (j->err)
		log_error("moving ended early: %s", strerror(-j->err));
	else if (readable.count)
		log_info("the kernel log tells why sectors that can be read were not moved");
	ranges_free(&pending);
	ranges_free(&readable);
	ranges_free(&unreadable);
	return EXIT_UNDONE | (err || (j->err && j->err != -ENOSPC) ? EXIT_FAILED : 0);
}

static int move(struct job *j)
{
	uint64_t todo = ranges_sectors(&j->todo), left;
	int status;

	ask_target(j);
	status = not_moved(j, &j->todo, &j->left);
	if (status)
		return status;
	left = ranges_sectors(&j->left);
	print_wanted(j);
	printf("%" PRIu64 " moved, %" PRIu64 " on the spare before, %" PRIu64 " not moved\n",
	       todo - left, ranges_sectors(&j->wanted) - todo, left);
	return left ? report_left(j) : EXIT_FINE;
}

static int plan_and_move(struct job *j, bool dry_run)
{
	int status = check_target(j);
	uint64_t todo;

	if (!status)
		status = not_moved(j, &j->wanted, &j->todo);
	if (status)
		return status;
	todo = ranges_sectors(&j->todo);
	if (todo > j->room)
		log_info("the spare has room for no more than %" PRIu64 " sectors", j->room);
	if (!dry_run)
		return move(j);
	print_wanted(j);
	printf("%" PRIu64 " to be moved, %" PRIu64 " on the spare already\n", todo,
	       ranges_sectors(&j->wanted) - todo);
	return EXIT_FINE;
}

int move_ranges(const struct active_set *set, struct ranges *wanted, bool dry_run)
{
	struct job j = {.set = set};
	uint64_t block = sysfs_number(set->dev, "queue/logical_block_size", 512);
	int status;

	ranges_round(wanted, block / 512);
	j.wanted = *wanted;
	if (!sysfs_node(set->spare, j.spare, sizeof(j.spare))) {
		log_error("the spare of %s is gone", printable(set->name));
		return EXIT_FAILED;
	}
	status = plan_and_move(&j, dry_run);
	ranges_free(&j.todo);
	ranges_free(&j.left);
	return status;
}
