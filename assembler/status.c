// SPDX-License-Identifier: GPL-2.0-only
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "activate.h"
#include "command.h"
#include "log.h"
#include "sysfs.h"

static const char usage[] = "[NAME] [--json]\n"
			    "Show the active sets.\n\n"
			    "  --json   print one JSON object\n";

/* Device nodes of a set and its members, for people and for JSON. */
struct nodes {
	char set[DMR_NAME_SIZE + 16], main[256], spare[256];
};

static void find_nodes(const struct active_set *set, struct nodes *n)
{
	memset(n, 0, sizeof(*n));
	snprintf(n->set, sizeof(n->set), "/dev/mapper/%s", set->name);
	sysfs_node(set->main, n->main, sizeof(n->main));
	sysfs_node(set->spare, n->spare, sizeof(n->spare));
}

static json_t *status_json(const struct active_set *set, const struct active_status *s)
{
	char uuid[UUID_STR_LEN];
	struct nodes n;

	uuid_unparse_lower(set->uuid, uuid);
	find_nodes(set, &n);
	return json_pack("{ss so ss so so ss ss sI sI sI sI si sI sI sI sI}", "uuid", uuid, "name",
			 json_text(set->name), "device", n.set, "main", json_text(n.main), "spare",
			 json_text(n.spare), "mode", s->mode, "health", s->health,
			 "remapped_sectors", (json_int_t)s->remapped_sectors, "spare_sectors",
			 (json_int_t)s->spare_sectors, "extents", (json_int_t)s->extents,
			 "pending_sectors", (json_int_t)s->pending_sectors, "valid_copies",
			 (int)s->valid_copies, "generation", (json_int_t)s->generation, "repairs",
			 (json_int_t)s->repairs, "scrubs", (json_int_t)s->scrubs,
			 "last_repair_time", (json_int_t)s->last_repair_time);
}

static void print_status(const struct active_set *set, const struct active_status *s)
{
	struct nodes n;

	find_nodes(set, &n);
	printf("%s: %s, %s\n", printable(n.set), s->mode, s->health);
	printf("  main %s, spare %s\n", printable(n.main), printable(n.spare));
	printf("  %" PRIu64 " of %" PRIu64 " spare sectors used, in %" PRIu64 " extents; %" PRIu64
	       " sectors pending\n",
	       s->remapped_sectors, s->spare_sectors, s->extents, s->pending_sectors);
	printf("  %u of 5 copies valid, generation %" PRIu64 ", %" PRIu64 " repairs, %" PRIu64
	       " scrubs\n",
	       s->valid_copies, s->generation, s->repairs, s->scrubs);
}

/* Show the sets called @wanted, or all if that is NULL; collect them in @list if that isn't. */
static int show(const struct active_set *sets, int n, const char *wanted, json_t *list)
{
	struct active_status s;
	bool found = false;
	int status = EXIT_FINE;

	for (int i = 0; i < n; i++) {
		if (wanted && strcmp(wanted, sets[i].name))
			continue;
		found = true;
		if (activate_status(&sets[i], &s)) {
			log_error("%s does not answer as a dm-remap target should",
				  printable(sets[i].name));
			status |= EXIT_FAILED;
		} else if (list) {
			json_array_append_new(list, status_json(&sets[i], &s));
		} else {
			print_status(&sets[i], &s);
		}
	}
	if (wanted && !found) {
		log_error("no active set is called %s; 'dmremap status' lists them",
			  printable(wanted));
		status |= EXIT_UNDONE;
	}
	return status;
}

int cmd_status(int argc, char **argv)
{
	struct active_set *sets;
	json_t *list = NULL;
	bool json = json_option(argc, argv, usage);
	int n, status;

	if (optind + 1 < argc)
		return usage_error(argv, "name one set at most");

	n = activate_list(&sets);
	if (n < 0) {
		log_error("cannot list the active sets: %s", strerror(-n));
		return EXIT_FAILED;
	}
	if (json)
		list = json_array();
	status = show(sets, n, argv[optind], list);
	if (json)
		json_print(json_pack("{so}", "sets", list));
	free(sets);
	return status;
}
