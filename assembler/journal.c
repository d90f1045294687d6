// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "journal.h"
#include "log.h"

#define ACTIVATION_LOG DMREMAP_RUN_DIR "/activation.jsonl"

static json_t *evidence_json(const struct decision *d)
{
	json_t *list = json_array();
	char text[64];

	for (int fact = 0; d->main && fact < FACTS; fact++) {
		if (d->evidence.says[fact] == SAYS_NOTHING)
			continue;
		evidence_text(&d->evidence, fact, text, sizeof(text));
		json_array_append_new(list, json_string(text));
	}
	return list;
}

json_t *journal_entry(const struct decision *d, const struct outcome *o)
{
	char uuid[UUID_STR_LEN];

	uuid_unparse_lower(d->uuid, uuid);
	return json_pack("{ss ss so so si so ss ss si ss si sb}", "uuid", uuid, "name", d->name,
			 "main", json_text(d->main ? d->main->path : NULL), "spare",
			 json_text(d->spare ? d->spare->device->path : NULL), "confidence",
			 d->evidence.confidence, "evidence", evidence_json(d), "decision",
			 decision_text(d->kind), "reason", d->reason, "valid_copies",
			 (int)o->valid_copies, "repair", repair_text(o->repair), "repaired_copies",
			 (int)o->repaired_copies, "activated", (int)o->activated);
}

static const char *text_of(const json_t *entry, const char *key)
{
	const char *text = json_string_value(json_object_get(entry, key));

	return printable(text ? text : "");
}

void journal_sentence(const json_t *entry, char *text, size_t size)
{
	const char *repair = text_of(entry, "repair"), *before = " [";
	const json_t *piece;
	size_t i, n;

	n = snprintf(text, size, "%s: %s: ", text_of(entry, "name"),
		     json_is_true(json_object_get(entry, "activated"))
			     ? "activated"
			     : text_of(entry, "decision"));
	/* not by printable(), which cuts: it is printable as it was made */
	n += snprintf(text + n, size - n, "%.600s",
		      json_string_value(json_object_get(entry, "reason")) ?: "");
	if (!strcmp(repair, repair_text(REPAIR_DONE)))
		n += snprintf(text + n, size - n, "; mended, now %d of 5",
			      (int)json_integer_value(json_object_get(entry, "valid_copies")));
	else if (!strcmp(repair, repair_text(REPAIR_NEEDED)))
		n += snprintf(text + n, size - n, "; its copies need mending");
	json_array_foreach(json_object_get(entry, "evidence"), i, piece) {
		if (n < size - 64)
			n += snprintf(text + n, size - n, "%s%.60s", before,
				      printable(json_string_value(piece) ?: ""));
		before = ", ";
	}
	if (*before == ',')
		snprintf(text + n, size - n, "]");
}

json_t *journal_read(void)
{
	FILE *f = fopen(ACTIVATION_LOG, "re");
	json_t *all = json_array(), *entry;
	unsigned int number = 0;
	char *line = NULL;
	size_t size = 0;

	while (f && getline(&line, &size, f) > 0) {
		number++;
		entry = json_loads(line, 0, NULL);
		if (json_is_object(entry)) {
			json_array_append_new(all, entry);
			continue;
		}
		json_decref(entry);
		log_error(ACTIVATION_LOG ":%u: this is no decision, and is left out", number);
	}
	free(line);
	if (f)
		fclose(f);
	return all;
}

static bool same_value(const json_t *a, const json_t *b, const char *key)
{
	return json_equal(json_object_get(a, key), json_object_get(b, key));
}

/* True if the last one about the set and spare of @entry says the same as it. */
static bool is_repeated(const json_t *entry)
{
	json_t *all = journal_read();
	bool repeated = false;
	const json_t *old;
	size_t i;

	json_array_foreach(all, i, old) {
		if (same_value(old, entry, "uuid") && same_value(old, entry, "spare"))
			repeated = same_value(old, entry, "decision") &&
				   same_value(old, entry, "reason");
	}
	json_decref(all);
	return repeated;
}

static void add_time(json_t *entry)
{
	struct timespec boot;
	time_t now = time(NULL);
	char text[32];

	clock_gettime(CLOCK_BOOTTIME, &boot);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
	json_object_set_new(entry, "time", json_string(text));
	json_object_set_new(entry, "boot_s",
			    json_real(boot.tv_sec + boot.tv_nsec / 1000000 / 1000.0));
}

void journal_write(json_t *entry, const char *sentence, bool always)
{
	char *text, *line = NULL;
	int err = -ENOMEM;

	if (!always && is_repeated(entry))
		return;
	log_kernel(sentence);
	add_time(entry);
	text = json_dumps(entry, JSON_COMPACT | JSON_REAL_PRECISION(9));
	if (text && asprintf(&line, "%s\n", text) > 0) {
		mkdir(DMREMAP_RUN_DIR, 0755);
		err = log_write(ACTIVATION_LOG, O_CREAT | O_APPEND, line);
		free(line);
	}
	free(text);
	if (err)
		log_info("cannot write " ACTIVATION_LOG ": %s", strerror(-err));
}
