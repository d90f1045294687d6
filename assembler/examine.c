// SPDX-License-Identifier: GPL-2.0-only
#include "command.h"
#include "log.h"
#include "report.h"

static const char usage[] =
	"DEVICE [--json]\n"
	"Show the metadata on a spare (block device or image file), copy by copy.\n\n"
	"  --json   print one JSON object\n";

int cmd_examine(int argc, char **argv)
{
	struct copies copies;
	struct device device;
	bool json = json_option(argc, argv, usage);
	int status;

	if (optind + 1 != argc)
		return usage_error(argv, "name exactly one spare");

	status = report_open(argv[optind], false, &device, &copies);
	if (!status) {
		if (json)
			json_print(report_json(&copies, &device));
		else
			report_print(&copies, &device);
		if (copies.verdict == VERDICT_LOST)
			status = EXIT_UNDONE;
	}
	report_close(&copies);
	return status;
}
