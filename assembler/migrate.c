// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "activate.h"
#include "active.h"
#include "command.h"
#include "copies.h"
#include "log.h"
#include "policy.h"
#include "spare.h"
#include "sysfs.h"

static const char usage[] =
	"NAME NEW-SPARE [--force]\n"
	"NAME --cancel\n"
	"Move the active set NAME to another spare, while it is in use: all that is on its spare "
	"is\n"
	"copied, and then NEW-SPARE is its spare. Until then nothing has changed. To interrupt "
	"this\n"
	"(Ctrl-C) cancels it. What is on NEW-SPARE is lost.\n\n"
	"  --force    overwrite a file system or old metadata on NEW-SPARE\n"
	"  --cancel   end a move that is under way, without success\n\n"
	"Exit status: 0 moved, 4 not moved, or some sectors could not be read and are lost.\n";

static const struct option options[] = {
	{"force", no_argument, NULL, 'f'},
	{"cancel", no_argument, NULL, 'c'},
	COMMON_LONG_OPTIONS,
};

struct request {
	struct active_set set;
	struct device main, old, new;
	struct ranges pending; /* before it began */
	bool force;
};

static volatile sig_atomic_t interrupted;

static void note_signal(int signal)
{
	(void)signal;
	interrupted = 1;
}

static int read_device(struct device *d, const char *path)
{
	int err = device_read(d, path);

	if (!err)
		return 0;
	device_complain(path, err);
	return EXIT_FAILED;
}

static int read_member(struct device *d, const struct request *r, dev_t dev)
{
	char path[256];

	if (sysfs_node(dev, path, sizeof(path)))
		return read_device(d, path);
	log_error("a member of %s is gone", printable(r->set.name));
	return EXIT_FAILED;
}

/* The superblock of the set's spare, from the five copies that the kernel keeps. */
static int read_super(const struct device *spare, struct dmr_super *s)
{
	int fd = device_open(spare, false), err;
	struct copies c;

	if (fd < 0) {
		device_complain(spare->path, fd);
		return EXIT_FAILED;
	}
	err = copies_read_super(&c, fd, spare->sectors, NULL);
	if (!err && copies_super(&c))
		*s = *copies_super(&c);
	else
		err = -EIO;
	copies_free(&c);
	close(fd);
	if (!err)
		return 0;
	log_error("no metadata can be read from %s", printable(spare->path));
	return EXIT_FAILED;
}

/* An earlier move to this device ended early: it holds what is needed, and nothing was written over it. */
static bool prepared(const struct device *new, const struct dmr_super *ours)
{
	int fd = device_open(new, false);
	bool found = false;
	struct copies c;

	if (fd < 0)
		return false;
	if (!copies_read_super(&c, fd, new->sectors, ours->header.uuid) && copies_super(&c))
		found = le32_to_cpu(copies_super(&c)->state) == DMR_STATE_INCOMING &&
			le64_to_cpu(copies_super(&c)->header.generation) < DMR_LAST_GENERATION;
	for (int k = 0; k < DMR_COPIES && found; k++)
		found = c.fault[k] == DMR_OK;
	copies_free(&c);
	close(fd);
	return found;
}

/* Only we know how the device can be recognised again, so it is not left to the kernel to format it. */
static int prepare(struct request *r)
{
	struct dmr_super ours, s;
	struct dmr_layout layout;
	uuid_t spare_uuid;
	int status = read_super(&r->old, &ours);

	if (!status)
		status = spare_refuse(&r->new, printable(r->main.path),
				      le32_to_cpu(ours.main_block), &layout);
	if (status)
		return status;
	if (!r->force && prepared(&r->new, &ours))
		return spare_refuse_content(&r->new, false);
	uuid_generate(spare_uuid);
	dmr_super_incoming(&s, &layout, &ours, spare_uuid, r->new.block, 1);
	spare_identity(&r->new, &s);
	return spare_write(&r->new, r->force, &s);
}

static int read_members(struct request *r, const char *path)
{
	const char *conflict;
	int status = read_member(&r->main, r, r->set.main);

	if (!status)
		status = read_member(&r->old, r, r->set.spare);
	if (!status)
		status = read_device(&r->new, path);
	if (status)
		return status;
	device_probe(&r->new, true);
	conflict = device_conflict(&r->main, &r->new);
	if (!conflict)
		conflict = device_conflict(&r->old, &r->new);
	if (!conflict)
		return 0;
	log_error("%s is no spare for %s: it and a member of the set %s; name another device",
		  printable(path), printable(r->set.name), conflict);
	return EXIT_UNDONE;
}

static void show_progress(const struct migration *m)
{
	if (log_verbosity < 0 || !isatty(STDERR_FILENO))
		return;
	if (m->to)
		fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " sectors, %u %%", m->done, m->all,
			m->all ? (unsigned int)(m->done * 100 / m->all) : 100);
	else
		fputs("\r\033[K", stderr);
}

/* Until it has ended. Returns 0 or a negative errno. */
static int follow(const struct request *r, struct migration *m)
{
	struct timespec pause = {.tv_nsec = 200 * 1000 * 1000};
	bool cancelled = false;
	int err;

	for (;;) {
		err = active_migration(r->set.name, m);
		if (err)
			return err;
		show_progress(m);
		if (!m->to)
			return 0;
		if (interrupted && !cancelled)
			cancelled = !active_cancel(r->set.name);
		nanosleep(&pause, NULL);
	}
}

/* What is known to have been lost. Returns an exit status. */
static int list_lost(const struct request *r)
{
	struct ranges pending, lost = {0};
	char text[RANGE_TEXT];
	int err = active_pending(r->set.name, &pending);

	if (!err)
		err = ranges_without(&pending, &r->pending, &lost);
	if (err)
		log_error("cannot ask %s which sectors are unreadable: %s", printable(r->set.name),
			  strerror(-err));
	for (size_t i = 0; i < lost.count; i++)
		log_error("cannot be read: %s", range_text(&lost.range[i], text));
	if (lost.count)
		log_info("reading these fails until they are written");
	err = err || lost.count ? EXIT_UNDONE : EXIT_FINE;
	ranges_free(&pending);
	ranges_free(&lost);
	return err;
}

static void remind_of_config(const struct request *r)
{
	struct policy policy;
	const struct named_set *set;

	policy_read(&policy, false);
	set = policy_find(&policy, r->set.uuid);
	if (set && set->spare.count && !tags_match(&set->spare, &r->new))
		log_info(POLICY_CONFIG " names another spare for %s: change it, and make the "
				       "initramfs anew, before the next boot",
			 printable(r->set.name));
	policy_free(&policy);
}

static int succeed(const struct request *r)
{
	/* the kernel lets go of the old spare when nothing can be reading from it any more */
	int err = activate_settle(r->set.name);

	if (err)
		log_info("%s is in use until %s is suspended the next time", printable(r->old.path),
			 printable(r->set.name));
	printf("%s: its spare is %s now; %s is superseded and can be removed\n",
	       printable(r->set.name), printable(r->new.path), printable(r->old.path));
	remind_of_config(r);
	return list_lost(r);
}

static int fail(const struct request *r, const struct migration *m)
{
	if (m->failed != r->new.dev)
		log_error("not moved: the table of %s was loaded anew meanwhile; try again",
			  printable(r->set.name));
	else if (m->error == -ECANCELED)
		log_error("cancelled; the spare of %s is still %s", printable(r->set.name),
			  printable(r->old.path));
	else
		log_error("not moved: %s; the spare of %s is still %s ('dmesg' says more)",
			  strerror(-m->error), printable(r->set.name), printable(r->old.path));
	return EXIT_UNDONE;
}

static int migrate(struct request *r)
{
	struct sigaction action = {.sa_handler = note_signal};
	struct active_set now;
	struct migration m;
	int err, status = prepare(r);

	if (status)
		return status;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	err = active_pending(r->set.name, &r->pending);
	if (!err)
		err = active_migrate(r->set.name, r->new.dev);
	if (err) {
		log_error("cannot move %s to %s: %s ('dmesg' says more)", printable(r->set.name),
			  printable(r->new.path), strerror(-err));
		return EXIT_FAILED;
	}
	err = follow(r, &m);
	if (err) {
		log_error("cannot ask %s how far it is: %s; it may go on moving",
			  printable(r->set.name), strerror(-err));
		return EXIT_FAILED;
	}
	if (active_lookup(r->set.name, &now) && now.spare == r->new.dev)
		return succeed(r);
	return fail(r, &m);
}

static int cancel(const struct request *r)
{
	int err = active_cancel(r->set.name);

	if (!err)
		return EXIT_FINE;
	if (err == -ENODATA)
		log_error("%s is not being moved", printable(r->set.name));
	else
		log_error("cannot cancel: %s", strerror(-err));
	return err == -ENODATA ? EXIT_UNDONE : EXIT_FAILED;
}

int cmd_migrate(int argc, char **argv)
{
	struct request r = {0};
	bool cancelling = false;
	int c, status;

	while ((c = getopt_long(argc, argv, COMMON_SHORT_OPTIONS, options, NULL)) != -1) {
		if (c == 'f')
			r.force = true;
		else if (c == 'c')
			cancelling = true;
		else
			common_option(c, argv, usage);
	}
	if (cancelling ? optind + 1 != argc : optind + 2 != argc)
		return usage_error(argv, cancelling ? "name a set" : "name a set and a device");
	status = active_find(argv[optind], &r.set);
	if (!status && cancelling)
		return cancel(&r);
	if (!status)
		status = read_members(&r, argv[optind + 1]);
	if (!status)
		status = migrate(&r);
	ranges_free(&r.pending);
	return status;
}
