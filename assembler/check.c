// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>

#include "command.h"
#include "report.h"

static const char usage[] =
	"DEVICE [--json]\n"
	"Verify all five copies of the metadata on a spare. Writes nothing.\n\n"
	"  --json   print one JSON object\n\n"
	"Exit status: 0 clean, 1 damaged but can be mended, 4 lost or no metadata.\n";

static void print_sentence(const struct copies *c, const struct device *d)
{
	char sentence[512];

	report_sentence(c, d, sentence, sizeof(sentence));
	puts(sentence);
}

int cmd_check(int argc, char **argv)
{
	return report_show(argc, argv, usage, print_sentence);
}
