/* SPDX-License-Identifier: GPL-2.0-only */
/* What every command of dmremap has in common: its entry point, exit status and options. */
#ifndef COMMAND_H
#define COMMAND_H

#include <getopt.h>
#include <stdbool.h>

/* Exit status, after fsck(8); the bits add up. */
enum exit_status {
	EXIT_FINE = 0,
	EXIT_MENDED = 1, /* damage was found and is mended; check: could be mended */
	EXIT_UNDONE = 4, /* something asked for was not done */
	EXIT_FAILED = 8, /* operational error */
	EXIT_USAGE = 16,
};

/* Each returns an exit status. argv[0] is "dmremap <command>". */
int cmd_create(int argc, char **argv);
int cmd_scan(int argc, char **argv);
int cmd_examine(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_repair(int argc, char **argv);
int cmd_assemble(int argc, char **argv);
int cmd_incremental(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_monitor(int argc, char **argv);
int cmd_remap(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_migrate(int argc, char **argv);
int cmd_log(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_udev(int argc, char **argv);
int cmd_resolve(int argc, char **argv);

/* The options every command takes. Short options start with ':', so that mistakes are ours to report. */
#define COMMON_SHORT_OPTIONS ":hVvq"
#define COMMON_LONG_OPTIONS                                                             \
	{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'},          \
		{"verbose", no_argument, NULL, 'v'}, {"quiet", no_argument, NULL, 'q'}, \
	{                                                                               \
		NULL, 0, NULL, 0                                                        \
	}

/*
 * Handle what getopt_long() returned and the command itself does not know: one of the common
 * options, or a mistake. Does not return for --help, --version and mistakes.
 */
void common_option(int c, char **argv, const char *usage);

/* Parse the options of a command whose only own one is --@name, without a value. Returns whether it was there. */
bool flag_option(int argc, char **argv, const char *usage, const char *name);

/* Say what is wrong with the arguments and return EXIT_USAGE. */
int usage_error(char **argv, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
