// SPDX-License-Identifier: GPL-2.0-only
#include "command.h"
#include "report.h"

static const char usage[] =
	"DEVICE [--json]\n"
	"Show the metadata on a spare (block device or image file), copy by copy.\n\n"
	"  --json   print one JSON object\n";

int cmd_examine(int argc, char **argv)
{
	/* that damage can be mended is for check to say */
	return report_show(argc, argv, usage, report_print) & ~EXIT_MENDED;
}
