// SPDX-License-Identifier: GPL-2.0-only
/* dmremap: the table of commands, and what they have in common. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "log.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{"create", cmd_create, "make a set of a main and a spare device"},
	{"scan", cmd_scan, "list the sets found on this machine"},
	{"examine", cmd_examine, "show the metadata on a spare, copy by copy"},
	{"check", cmd_check, "verify all five copies of a spare"},
	{"repair", cmd_repair, "mend all five copies of a spare"},
	{"assemble", cmd_assemble, "find, mend and activate sets"},
	{"incremental", cmd_incremental, "a device has come or gone: for udev"},
	{"stop", cmd_stop, "deactivate a set"},
	{"status", cmd_status, "show the active sets"},
	{"monitor", cmd_monitor, "say what happens to the active sets"},
	{"remap", cmd_remap, "move sectors to the spare"},
	{"import", cmd_import, "move the bad sectors that badblocks or ddrescue listed"},
	{"migrate", cmd_migrate, "move a set to another spare, while it is in use"},
	{"log", cmd_log, "show what was decided since boot"},
	{"config", cmd_config, "print lines for the config from the active sets"},
	{"udev", cmd_udev, "properties of a device, for the udev rule"},
	{"resolve", cmd_resolve, "what to use in place of a bare main, for an initramfs"},
};

static void print_help(FILE *out)
{
	fputs("Usage: dmremap COMMAND [OPTION]... [ARGUMENT]...\n"
	      "Cover the bad sectors of a block device with sectors of a spare one.\n\n",
	      out);
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		fprintf(out, "  %-11s %s\n", commands[i].name, commands[i].help);
	fputs("\nEvery command takes --help, --version, -v (verbose) and -q (quiet).\n"
	      "Exit status: 0 fine, 1 damage mended, 4 something was not done, 8 error, 16 "
	      "usage.\n",
	      out);
}

/* A full disk or a closed pipe behind stdout must not look like success. */
static void close_stdout(void)
{
	bool failed = ferror(stdout), pending = __fpending(stdout);

	/* a caller that closed stdout and was told nothing has lost nothing */
	if (fclose(stdout) && (pending || errno != EBADF))
		failed = true;
	if (failed && errno != EPIPE) {
		log_error("cannot write the output: %s", strerror(errno));
		_exit(EXIT_FAILED);
	}
}

int main(int argc, char **argv)
{
	char full_name[64];

	atexit(close_stdout);
	if (argc < 2) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		if (strcmp(argv[1], commands[i].name))
			continue;
		snprintf(full_name, sizeof(full_name), "dmremap %s", commands[i].name);
		argv[1] = full_name;
		return commands[i].run(argc - 1, argv + 1);
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print_help(stdout);
		return EXIT_FINE;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("dmremap " DMREMAP_VERSION);
		return EXIT_FINE;
	}
	log_error("there is no command '%s'; 'dmremap --help' lists them", printable(argv[1]));
	return EXIT_USAGE;
}
