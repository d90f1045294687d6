// SPDX-License-Identifier: GPL-2.0
/*
 * The five functions of libudev that libdevmapper calls. Debian ships no static libudev, and all that libdevmapper
 * wants from it is whether udevd runs, to know if a cookie will ever be answered. The real library decides that by
 * the existence of udevd's control socket, and so does this.
 */
#include <stddef.h>
#include <unistd.h>
#include <libudev.h>

/* The callers only test the handles for NULL and hand them back. */
static char handle;

struct udev *udev_new(void)
{
	return (struct udev *)&handle;
}

struct udev *udev_unref(struct udev *udev)
{
	(void)udev;
	return NULL;
}

struct udev_queue *udev_queue_new(struct udev *udev)
{
	(void)udev;
	return (struct udev_queue *)&handle;
}

struct udev_queue *udev_queue_unref(struct udev_queue *udev_queue)
{
	(void)udev_queue;
	return NULL;
}

int udev_queue_get_udev_is_active(struct udev_queue *udev_queue)
{
	(void)udev_queue;
	return access("/run/udev/control", F_OK) == 0;
}
