// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "inventory.h"
#include "log.h"

static const char usage[] =
	"[DEVICE...] [--json]\n"
	"List the sets found on these devices (or image files), or on this machine.\n\n"
	"  --json   print one JSON object\n";

static json_t *scan_json(const struct decision *d)
{
	char uuid[UUID_STR_LEN];

	uuid_unparse_lower(d->uuid, uuid);
	return json_pack("{ss ss so so si ss si}", "uuid", uuid, "name", d->name, "spare",
			 json_text(d->spare->device->path), "main",
			 json_text(d->main ? d->main->path : NULL), "confidence",
			 d->evidence.confidence, "verdict", verdict_text(d->spare->verdict),
			 "valid_copies", (int)d->spare->valid_copies);
}

static void scan_print(const struct decision *d)
{
	char uuid[UUID_STR_LEN];

	uuid_unparse_lower(d->uuid, uuid);
	printf("%s %s: spare %s (%s, %u of 5 copies whole)", uuid, d->name,
	       printable(d->spare->device->path), verdict_text(d->spare->verdict),
	       d->spare->valid_copies);
	if (d->main)
		printf(", main %s (confidence %d)\n", printable(d->main->path),
		       d->evidence.confidence);
	else
		printf(", main not found\n");
}

/* Members are found as if every set had been asked for, and nothing were in the way. */
static int scan(struct inventory *inv, json_t *list)
{
	struct policy policy;
	struct active_set *active;
	int actives = active_list(&active);
	struct decision *decisions;
	int n;

	policy_init(&policy);
	n = inventory_decide(inv, &policy, active, actives < 0 ? 0 : actives, NULL, 0, &decisions);
	free(active);
	if (n < 0)
		return EXIT_FAILED;
	for (int i = 0; i < n; i++) {
		if (list)
			json_array_append_new(list, scan_json(&decisions[i]));
		else
			scan_print(&decisions[i]);
	}
	free(decisions);
	return EXIT_FINE;
}

int cmd_scan(int argc, char **argv)
{
	struct inventory inv;
	json_t *list = NULL;
	bool json = flag_option(argc, argv, usage, "json");
	int status;

	status = inventory_read(&inv, argv + optind, argc - optind, INVENTORY_PATIENCE);
	if (json)
		list = json_array();
	status |= scan(&inv, list);
	if (json)
		json_print(json_pack("{so}", "sets", list));
	else if (!inv.spare_count)
		log_info("no dm-remap metadata was found");
	inventory_free(&inv);
	return status;
}
