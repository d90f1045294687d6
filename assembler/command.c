// SPDX-License-Identifier: GPL-2.0-only
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "log.h"

int usage_error(char **argv, const char *format, ...)
{
	char what[512];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	log_error("%s; see '%s --help'", what, argv[0]);
	return EXIT_USAGE;
}

void common_option(int c, char **argv, const char *usage)
{
	switch (c) {
	case 'h':
		printf("Usage: %s %s", argv[0], usage);
		exit(EXIT_FINE);
	case 'V':
		puts("dmremap " DMREMAP_VERSION);
		exit(EXIT_FINE);
	case 'v':
		log_verbosity++;
		return;
	case 'q':
		log_verbosity = -1;
		return;
	case ':':
		exit(usage_error(argv, "option '%s' needs a value", printable(argv[optind - 1])));
	default:
		if (!strncmp(argv[optind - 1], "--", 2) && optopt && strchr(argv[optind - 1], '='))
			exit(usage_error(argv, "option '%s' takes no value",
					 printable(argv[optind - 1])));
		/* a bad letter among several leaves optind on its word; then optopt tells */
		if (optopt && optopt < 128)
			exit(usage_error(argv, "unknown option '-%c'", optopt));
		exit(usage_error(argv, "unknown option '%s'", printable(argv[optind - 1])));
	}
}

bool flag_option(int argc, char **argv, const char *usage, const char *name)
{
	const struct option options[] = {
		{name, no_argument, NULL, 'f'},
		COMMON_LONG_OPTIONS,
	};
	bool given = false;
	int c;

	while ((c = getopt_long(argc, argv, COMMON_SHORT_OPTIONS, options, NULL)) != -1) {
		if (c == 'f')
			given = true;
		else
			common_option(c, argv, usage);
	}
	return given;
}
