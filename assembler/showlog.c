// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>

#include "command.h"
#include "journal.h"
#include "log.h"

static const char usage[] =
	"[--json]\n"
	"Show what was decided on each set since this machine was booted, and why.\n\n"
	"  --json   print one JSON object\n";

static void print_entry(const json_t *entry)
{
	const char *time = json_string_value(json_object_get(entry, "time"));
	char sentence[1024];

	journal_sentence(entry, sentence, sizeof(sentence));
	printf("%s (%.1f s after boot) %s\n", printable(time ? time : "?"),
	       json_number_value(json_object_get(entry, "boot_s")), sentence);
}

int cmd_log(int argc, char **argv)
{
	bool json = flag_option(argc, argv, usage, "json");
	json_t *all;
	size_t i;

	if (optind != argc)
		return usage_error(argv, "'%s' is one argument too many", printable(argv[optind]));
	all = journal_read();
	if (json) {
		json_print(json_pack("{so}", "decisions", all));
		return EXIT_FINE;
	}
	for (i = 0; i < json_array_size(all); i++)
		print_entry(json_array_get(all, i));
	if (!i)
		log_info("nothing was decided since this machine was booted");
	json_decref(all);
	return EXIT_FINE;
}
