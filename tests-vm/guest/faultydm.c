// SPDX-License-Identifier: GPL-2.0
/*
 * An ioctl on a device-mapper device that meets a failure, at each place where it may meet one.
 *
 * faultydm NAME UNDO load TARGET LENGTH PARAMS | resume | suspend | remove | status | table | message TEXT
 *
 * The n-th allocation, or request to a disk, that the ioctl makes is made to fail (see fail-nth in
 * the kernel's fault-injection.rst), for n from 1 until it makes no more. After each the shell command UNDO
 * is run, if there is one, which must succeed: it finds in $errno how the ioctl ended and makes
 * everything as it was.
 * The last line printed is how many places there were, and how many of the ioctls succeeded in spite of it.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static struct {
	struct dm_ioctl head;
	char payload[16384];
} request;

static int control, fail_nth;

/* Makes the n-th place fail from now on; 0 none. */
static void arm(unsigned int n)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u", n);

	if (pwrite(fail_nth, text, length, 0) != length)
		err(2, "fail-nth");
}

/* Whether the place that was to fail was not reached. */
static bool armed(void)
{
	char text[16] = "";

	if (pread(fail_nth, text, sizeof(text) - 1, 0) <= 0)
		err(2, "fail-nth");
	return atoi(text);
}

static void set_target(char **argv)
{
	struct dm_target_spec *spec = (void *)request.payload;

	if (!argv[0] || !argv[1] || !argv[2])
		errx(2, "load TARGET LENGTH PARAMS");
	request.head.target_count = 1;
	spec->length = strtoull(argv[1], NULL, 0);
	snprintf(spec->target_type, sizeof(spec->target_type), "%s", argv[0]);
	snprintf(request.payload + sizeof(*spec), 4096, "%s", argv[2]);
}

/* Fills in the request, which the kernel overwrites, and returns its number. */
static unsigned long prepare(const char *name, char **argv)
{
	const char *command = argv[0];

	memset(&request, 0, sizeof(request));
	request.head.version[0] = DM_VERSION_MAJOR;
	request.head.data_size = sizeof(request);
	request.head.data_start = sizeof(request.head);
	snprintf(request.head.name, sizeof(request.head.name), "%s", name);
	if (!strcmp(command, "load")) {
		set_target(argv + 1);
		return DM_TABLE_LOAD;
	}
	if (!strcmp(command, "message") && argv[1]) {
		struct dm_target_msg *message = (void *)request.payload;

		snprintf(message->message, 4096, "%s", argv[1]);
		return DM_TARGET_MSG;
	}
	if (!strcmp(command, "suspend")) {
		request.head.flags = DM_SUSPEND_FLAG;
		return DM_DEV_SUSPEND;
	}
	if (!strcmp(command, "table")) {
		request.head.flags = DM_STATUS_TABLE_FLAG;
		return DM_TABLE_STATUS;
	}
	if (!strcmp(command, "resume"))
		return DM_DEV_SUSPEND;
	if (!strcmp(command, "remove"))
		return DM_DEV_REMOVE;
	if (!strcmp(command, "status"))
		return DM_TABLE_STATUS;
	errx(2, "load, resume, suspend, remove, status, table or message?");
}

int main(int argc, char **argv)
{
	unsigned int n, succeeded = 0;
	bool last = false;

	if (argc < 4)
		errx(2, "faultydm NAME UNDO COMMAND..., see its source");
	control = open("/dev/mapper/control", O_RDWR);
	fail_nth = open("/proc/self/fail-nth", O_RDWR);
	if (control < 0 || fail_nth < 0)
		err(2, "/dev/mapper/control or /proc/self/fail-nth");
	for (n = 1; !last; n++) {
		unsigned long number = prepare(argv[1], argv + 3);
		int error = 0, status;
		char text[16];

		arm(n);
		if (ioctl(control, number, &request))
			error = errno;
		last = armed();
		arm(0);
		snprintf(text, sizeof(text), "%d", error);
		setenv("errno", text, 1);
		status = *argv[2] ? system(argv[2]) : 0;
		if (status)
			errx(1, "after failure %u of %s (%s): UNDO failed with %d", n, argv[3],
			     strerror(error), status);
		if (last && error)
			errx(1, "%s failed without a failure: %s", argv[3], strerror(error));
		succeeded += !error;
	}
	printf("%u %u\n", n - 2, succeeded - 1);
	return 0;
}
