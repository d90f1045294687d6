// SPDX-License-Identifier: GPL-2.0-only
/* What is in use, as the kernel's tables tell it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "device.h"

#define DEV makedev(240, 77) /* of a node only: no device stands behind it */

static char node[64];

static int make_node(void **state)
{
	(void)state;
	snprintf(node, sizeof(node), "/dev/test_device.%d", (int)getpid());
	mknod(node, S_IFBLK | 0600, DEV); /* root only */
	return 0;
}

static int remove_node(void **state)
{
	(void)state;
	unlink(node);
	return 0;
}

static void test_mounted_by_number(void **state)
{
	char where[16];

	(void)state;
	assert_true(device_mount_line("36 35 240:77 / /home rw shared:1 - ext4 /dev/root rw", DEV,
				      where, sizeof(where)));
	assert_string_equal(where, "/home");
	assert_false(device_mount_line("36 35 240:7 / /home rw - ext4 /dev/root rw", DEV, where,
				       sizeof(where)));
	assert_false(device_mount_line("36 35 0:22 / /proc rw - proc proc rw", DEV, where,
				       sizeof(where)));
	assert_false(device_mount_line("", DEV, where, sizeof(where)));
}

/* btrfs numbers its mounts as it likes */
static void test_mounted_by_source(void **state)
{
	char line[256], where[16];

	(void)state;
	snprintf(line, sizeof(line), "36 35 0:31 /@ / rw - btrfs %s rw,subvol=/@\n", node);
	if (access(node, F_OK))
		skip();
	assert_true(device_mount_line(line, DEV, where, sizeof(where)));
	assert_string_equal(where, "/");
	assert_false(device_mount_line(line, DEV + 1, where, sizeof(where)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mounted_by_number),
		cmocka_unit_test_setup_teardown(test_mounted_by_source, make_node, remove_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
