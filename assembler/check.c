// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>

#include "command.h"
#include "log.h"
#include "report.h"

static const char usage[] =
	"DEVICE [--json]\n"
	"Verify all five copies of the metadata on a spare. Writes nothing.\n\n"
	"  --json   print one JSON object\n\n"
	"Exit status: 0 clean, 1 damaged but can be mended, 4 lost or no metadata.\n";

int cmd_check(int argc, char **argv)
{
	struct copies copies;
	struct device device;
	char sentence[512];
	bool json = json_option(argc, argv, usage);
	int status;

	if (optind + 1 != argc)
		return usage_error(argv, "name exactly one spare");

	status = report_open(argv[optind], false, &device, &copies);
	if (!status) {
		status = report_exit(&copies);
		report_sentence(&copies, &device, sentence, sizeof(sentence));
		if (json)
			json_print(report_json(&copies, &device));
		else
			puts(sentence);
	}
	report_close(&copies);
	return status;
}
