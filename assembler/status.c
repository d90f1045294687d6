// SPDX-License-Identifier: GPL-2.0-only
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "active.h"
#include "command.h"
#include "log.h"
#include "sysfs.h"

static const char usage[] =
	"[NAME] [--json]\n"
	"Show the active sets, or one: how well each is, how much of its spare is used,\n"
	"which sectors of its main cannot be read.\n\n"
	"  --json   print one JSON object\n";

/* People see so many ranges of unreadable sectors; JSON has all. */
#define PENDING_SHOWN 8

/* What is known of one set. */
struct facts {
	const struct active_set *set; /* NULL: it did not answer */
	struct active_status s;
	bool has_pending; /* the target has told which sectors they are */
	struct ranges pending;
	char device[DMR_NAME_SIZE + 16], main[256], spare[256];
};

/* Returns an exit status: what there is is shown even if not all could be had. */
static int gather(struct facts *f, const struct active_set *set)
{
	const char *name = printable(set->name);
	int err = 0;

	*f = (struct facts){0};
	if (active_status(set, &f->s)) {
		log_error("%s does not answer as a dm-remap target should", name);
		return EXIT_FAILED;
	}
	f->set = set;
	snprintf(f->device, sizeof(f->device), "/dev/mapper/%s", set->name);
	sysfs_node(set->main, f->main, sizeof(f->main));
	sysfs_node(set->spare, f->spare, sizeof(f->spare));
	if (f->s.pending_sectors)
		err = active_pending(set->name, &f->pending);
	if (err)
		log_error("cannot ask %s which sectors are unreadable: %s", name, strerror(-err));
	f->has_pending = !err;
	return err ? EXIT_FAILED : EXIT_FINE;
}

static json_t *pending_json(const struct facts *f)
{
	json_t *list;

	if (!f->has_pending)
		return json_null();
	list = json_array();
	for (size_t i = 0; i < f->pending.count; i++)
		json_array_append_new(
			list, json_pack("{sI sI}", "sector", (json_int_t)f->pending.range[i].start,
					"sectors", (json_int_t)f->pending.range[i].sectors));
	return list;
}

static json_t *facts_json(const struct facts *f)
{
	const struct active_status *s = &f->s;
	char uuid[UUID_STR_LEN];

	uuid_unparse_lower(f->set->uuid, uuid);
	return json_pack("{ss so ss so so ss ss sI sI sI sI sI so si sI sI sI sI so sI sI}", "uuid",
			 uuid, "name", json_text(f->set->name), "device", f->device, "main",
			 json_text(f->main), "spare", json_text(f->spare), "mode", s->mode,
			 "health", s->health, "remapped_sectors", (json_int_t)s->remapped_sectors,
			 "spare_sectors", (json_int_t)s->spare_sectors, "spare_free_sectors",
			 (json_int_t)s->spare_free_sectors, "extents", (json_int_t)s->extents,
			 "pending_sectors", (json_int_t)s->pending_sectors, "pending",
			 pending_json(f), "valid_copies", (int)s->valid_copies, "generation",
			 (json_int_t)s->generation, "repairs", (json_int_t)s->repairs, "scrubs",
			 (json_int_t)s->scrubs, "last_repair_time", (json_int_t)s->last_repair_time,
			 "action", json_text(s->action), "scrubbed_sectors",
			 (json_int_t)s->scrubbed_sectors, "unreadable_sectors",
			 (json_int_t)s->unreadable_sectors);
}

static void print_pending(const struct facts *f)
{
	char text[RANGE_TEXT];

	printf("  pending %" PRIu64 " sectors of the main cannot be read", f->s.pending_sectors);
	for (size_t i = 0; i < f->pending.count && i < PENDING_SHOWN; i++)
		printf("%s %s", i ? "," : ":", range_text(&f->pending.range[i], text));
	puts(f->pending.count > PENDING_SHOWN ? ", ..." : "");
}

static void print_facts(const struct facts *f)
{
	const struct active_status *s = &f->s;
	char when[32] = "never";
	time_t time = s->last_repair_time;

	if (time)
		strftime(when, sizeof(when), "%F %T", localtime(&time));
	printf("%s: %s, %s\n", printable(f->device), s->mode, s->health);
	printf("  main    %s\n", printable(f->main));
	printf("  spare   %s, %" PRIu64 " of %" PRIu64 " sectors free\n", printable(f->spare),
	       s->spare_free_sectors, s->spare_sectors);
	printf("  moved   %" PRIu64 " sectors, from %" PRIu64 " places\n", s->remapped_sectors,
	       s->extents);
	if (s->pending_sectors)
		print_pending(f);
	printf("  copies  %u of 5 valid, generation %" PRIu64 "; %" PRIu64
	       " repairs (last: %s), %" PRIu64 " scrubs\n",
	       s->valid_copies, s->generation, s->repairs, when, s->scrubs);
	if (s->unreadable_sectors)
		printf("  lost    %" PRIu64 " sectors on the spare cannot be read\n",
		       s->unreadable_sectors);
	if (!strcmp(s->action, "scrub"))
		printf("  scrub   %" PRIu64 " of %" PRIu64 " replacement sectors read\n",
		       s->scrubbed_sectors, s->remapped_sectors);
}

/* Show @n sets; collect them in @list if that isn't NULL. */
static int show(const struct active_set *sets, int n, json_t *list)
{
	int status = EXIT_FINE;
	struct facts f;

	for (int i = 0; i < n; i++) {
		status |= gather(&f, &sets[i]);
		if (!f.set)
			continue;
		if (list)
			json_array_append_new(list, facts_json(&f));
		else
			print_facts(&f);
		ranges_free(&f.pending);
	}
	return status;
}

static int show_one(const char *name, json_t *list)
{
	struct active_set set;
	int status = active_find(name, &set);

	return status ? status : show(&set, 1, list);
}

static int show_all(json_t *list)
{
	struct active_set *sets;
	int n = active_list_or_complain(&sets), status;

	if (n < 0)
		return EXIT_FAILED;
	if (!n && !list)
		puts("no set is active");
	status = show(sets, n, list);
	free(sets);
	return status;
}

int cmd_status(int argc, char **argv)
{
	bool json = flag_option(argc, argv, usage, "json");
	json_t *list = json ? json_array() : NULL;
	int status;

	if (optind + 1 < argc)
		return usage_error(argv, "name one set at most");

	status = optind < argc ? show_one(argv[optind], list) : show_all(list);
	if (json)
		json_print(json_pack("{so}", "sets", list));
	return status;
}
