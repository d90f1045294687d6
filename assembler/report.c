// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "command.h"
#include "log.h"
#include "report.h"

#define READ_TRIES    5
#define READ_PAUSE_MS 100

/*
 * Read the copies to look at them only. The target of an active set may be writing meanwhile, and what is read
 * during a commit can look like damage: then it is read again.
 */
static int read_copies(struct copies *c, int fd, struct device *d)
{
	struct timespec pause = {.tv_nsec = READ_PAUSE_MS * 1000 * 1000};
	int err;

	for (int i = 0;; i++) {
		err = copies_read(c, fd, d->sectors, NULL);
		if (err || c->verdict == VERDICT_CLEAN || c->verdict == VERDICT_NONE ||
		    i == READ_TRIES)
			return err;
		if (!i)
			device_probe(d, false);
		if (!*d->in_use)
			return 0;
		copies_free(c);
		nanosleep(&pause, NULL);
	}
}

int report_open(const char *path, bool write, struct device *d, struct copies *c)
{
	char sentence[512];
	int err;

	memset(c, 0, sizeof(*c));
	c->fd = -1;
	c->elected = -1;
	err = device_read(d, path);
	if (!err) {
		err = device_open(d, write);
		if (err >= 0)
			err = write ? copies_read(c, err, d->sectors, NULL)
				    : read_copies(c, err, d);
	}
	if (err) {
		device_complain(path, err);
		return EXIT_FAILED;
	}
	if (c->verdict != VERDICT_NONE)
		return 0;
	report_sentence(c, d, sentence, sizeof(sentence));
	log_error("%s", sentence);
	return c->reason == DMR_UNREADABLE ? EXIT_FAILED : EXIT_UNDONE;
}

void report_close(struct copies *c)
{
	if (c->fd >= 0)
		close(c->fd);
	copies_free(c);
}

/* Name of the set: recorded, or made of its UUID. */
static const char *set_name(const struct copies *c, char *text, size_t size)
{
	const struct dmr_super *s = copies_super(c);
	char uuid[UUID_STR_LEN];

	uuid_unparse_lower(c->uuid, uuid);
	if (s && *s->name)
		snprintf(text, size, "%s", s->name);
	else
		snprintf(text, size, "dmremap-%.8s", uuid);
	return text;
}

static const char *state_text(const struct dmr_super *s)
{
	static const char *const text[] = {"clean", "migrating", "superseded", "incoming"};

	return text[le32_to_cpu(s->state)];
}

static json_t *identity_json(const struct dmr_identity *id, const char *device)
{
	return json_pack("{so sI sI so so so so so}", "device", json_text(device), "size_sectors",
			 (json_int_t)le64_to_cpu(id->sectors), "part_number",
			 (json_int_t)le32_to_cpu(id->part_number), "wwid", json_text(id->wwid),
			 "serial", json_text(id->serial), "partuuid", json_text(id->partuuid),
			 "ptuuid", json_text(id->ptuuid), "fsuuid", json_text(id->fsuuid));
}

static bool super_readable(const struct copies *c, int k)
{
	return c->fault[k] == DMR_OK || c->fault[k] == DMR_STALE;
}

static json_t *copies_json(const struct copies *c)
{
	json_t *list = json_array();

	for (int k = 0; k < DMR_COPIES; k++)
		json_array_append_new(
			list,
			json_pack("{si sI sI sb so sI ss}", "index", k, "offset_bytes",
				  (json_int_t)(c->layout.copy_sector[k] * DMR_SECTOR_SIZE),
				  "length_bytes",
				  (json_int_t)(dmr_copy_sectors(&c->layout) * DMR_SECTOR_SIZE),
				  "valid", c->verdict != VERDICT_LOST && !c->bad_blocks[k],
				  "generation",
				  super_readable(c, k)
					  ? json_integer(le64_to_cpu(c->super[k].header.generation))
					  : json_null(),
				  "bad_blocks", (json_int_t)c->bad_blocks[k], "superblock",
				  dmr_fault_text(c->fault[k])));
	return list;
}

static json_t *extents_json(const struct copies *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->extents; i++)
		json_array_append_new(
			list, json_pack("{sI sI sI sb}", "main_sector",
					(json_int_t)le64_to_cpu(c->extent[i].main), "spare_sector",
					(json_int_t)le64_to_cpu(c->extent[i].spare), "sectors",
					(json_int_t)le32_to_cpu(c->extent[i].sectors), "has_data",
					!c->extent[i].flags));
	return list;
}

/* The keys are there where there is no set, too. */
static json_t *absence_json(const struct copies *c, const struct device *d)
{
	char sentence[512];

	report_sentence(c, d, sentence, sizeof(sentence));
	return json_pack("{sn sn s[] s[] si so ss ss sn sn sn sn sn}", "uuid", "name", "copies",
			 "extents", "valid_copies", 0, "device", json_text(d->path), "verdict",
			 verdict_text(c->verdict), "reason", sentence, "generation", "state",
			 "length_sectors", "main", "spare");
}

static json_t *report_json(const struct copies *c, const struct device *d)
{
	const struct dmr_super *s = copies_super(c);
	char uuid[UUID_STR_LEN], name[DMR_NAME_SIZE], sentence[512];
	json_t *o;

	uuid_unparse_lower(c->uuid, uuid);
	report_sentence(c, d, sentence, sizeof(sentence));
	o = json_pack("{ss ss so so si so ss ss sn sn sn sn sn}", "uuid", uuid, "name",
		      set_name(c, name, sizeof(name)), "copies", copies_json(c), "extents",
		      extents_json(c), "valid_copies", (int)copies_valid(c), "device",
		      json_text(d->path), "verdict", verdict_text(c->verdict), "reason", sentence,
		      "generation", "state", "length_sectors", "main", "spare");
	if (!s)
		return o;
	json_object_set_new(o, "generation", json_integer(le64_to_cpu(s->header.generation)));
	json_object_set_new(o, "state", json_string(state_text(s)));
	json_object_set_new(o, "length_sectors", json_integer(le64_to_cpu(s->length)));
	json_object_set_new(o, "main", identity_json(&s->main, NULL));
	json_object_set_new(o, "spare", identity_json(&s->spare, d->path));
	json_object_set_new(o, "main_block_bytes", json_integer(le32_to_cpu(s->main_block)));
	json_object_set_new(o, "spare_block_bytes", json_integer(le32_to_cpu(s->spare_block)));
	json_object_set_new(o, "repairs", json_integer(le64_to_cpu(s->repairs)));
	json_object_set_new(o, "scrubs", json_integer(le64_to_cpu(s->scrubs)));
	json_object_set_new(o, "last_repair_time", json_integer(le64_to_cpu(s->last_repair)));
	json_object_set_new(o, "table_blocks", json_integer(le32_to_cpu(s->table_blocks)));
	return o;
}

/* Why there is no set to speak of. */
static void absence_sentence(const struct copies *c, const struct device *d, char *text,
			     size_t size)
{
	const char *path = printable(d->path);

	if (c->reason == DMR_UNREADABLE)
		snprintf(text, size,
			 "%s cannot be read: all five places of metadata give I/O errors", path);
	else if (c->reason == DMR_TOO_SMALL)
		snprintf(text, size,
			 "%s is too small for a spare: it has %" PRIu64
			 " sectors, a spare at least %d",
			 path, d->sectors, DMR_MIN_SECTORS);
	else
		snprintf(text, size,
			 "%s holds no dm-remap metadata; is it the spare? ('dmremap scan' looks "
			 "for spares)",
			 path);
}

void report_sentence(const struct copies *c, const struct device *d, char *text, size_t size)
{
	const char *path = printable(d->path);

	switch (c->verdict) {
	case VERDICT_CLEAN:
		snprintf(text, size, "%s: all five copies are valid and equal", path);
		break;
	case VERDICT_REPAIRABLE:
		snprintf(text, size,
			 "%s: %u of 5 copies are whole (%s); the metadata is complete and can be "
			 "mended",
			 path, copies_valid(c), dmr_fault_text(c->reason));
		break;
	case VERDICT_LOST:
		if (c->elected < 0)
			snprintf(text, size, "%s: none of the five superblocks can be used (%s)",
				 path, dmr_fault_text(c->reason));
		else
			snprintf(text, size, "%s: the remap table cannot be used (%s)", path,
				 dmr_fault_text(c->reason));
		break;
	case VERDICT_NONE:
		absence_sentence(c, d, text, size);
		break;
	}
}

static void print_identity(const char *what, const struct dmr_identity *id)
{
	const struct {
		const char *name, *value;
	} fact[] = {
		{"wwid", id->wwid},     {"serial", id->serial}, {"partuuid", id->partuuid},
		{"ptuuid", id->ptuuid}, {"fsuuid", id->fsuuid},
	};

	printf("%-11s %" PRIu64 " sectors", what, le64_to_cpu(id->sectors));
	if (id->part_number)
		printf(", partition %u", le32_to_cpu(id->part_number));
	for (size_t i = 0; i < sizeof(fact) / sizeof(*fact); i++) {
		if (*fact[i].value)
			printf(", %s %s", fact[i].name, printable(fact[i].value));
	}
	putchar('\n');
}

static void print_set(const struct copies *c)
{
	const struct dmr_super *s = copies_super(c);
	uint64_t moved = 0;

	for (size_t i = 0; i < c->extents; i++)
		moved += le32_to_cpu(c->extent[i].sectors);
	printf("Generation: %" PRIu64 ", %s\n", le64_to_cpu(s->header.generation), state_text(s));
	printf("Mapped:     %" PRIu64 " sectors\n", le64_to_cpu(s->length));
	print_identity("Main:", &s->main);
	print_identity("Spare:", &s->spare);
	printf("Remapped:   %" PRIu64 " of %" PRIu64 " sectors, in %zu extents\n", moved,
	       (uint64_t)dmr_data_sectors(&c->layout), c->extents);
	printf("Repairs:    %" PRIu64 "\n", le64_to_cpu(s->repairs));
}

void report_print(const struct copies *c, const struct device *d)
{
	char uuid[UUID_STR_LEN], name[DMR_NAME_SIZE], sentence[512];

	uuid_unparse_lower(c->uuid, uuid);
	printf("Set:        %s\n", uuid);
	if (copies_super(c)) {
		printf("Name:       %s\n", set_name(c, name, sizeof(name)));
		print_set(c);
	}
	for (int k = 0; k < DMR_COPIES; k++) {
		printf("Copy %d:     sector %" PRIu64 ", superblock %s", k,
		       (uint64_t)c->layout.copy_sector[k], dmr_fault_text(c->fault[k]));
		if (super_readable(c, k))
			printf(", generation %" PRIu64, le64_to_cpu(c->super[k].header.generation));
		if (c->verdict != VERDICT_LOST || c->current)
			printf(", %u bad blocks", c->bad_blocks[k]);
		putchar('\n');
	}
	report_sentence(c, d, sentence, sizeof(sentence));
	printf("Verdict:    %s: %s\n", verdict_text(c->verdict), sentence);
}

/* Exit status of check for a verdict. */
static int report_exit(const struct copies *c)
{
	switch (c->verdict) {
	case VERDICT_CLEAN:
		return EXIT_FINE;
	case VERDICT_REPAIRABLE:
		return EXIT_MENDED;
	default:
		return EXIT_UNDONE;
	}
}

int report_show(int argc, char **argv, const char *usage,
		void (*print)(const struct copies *c, const struct device *d))
{
	struct copies copies;
	struct device device;
	bool json = flag_option(argc, argv, usage, "json");
	int status;

	if (optind + 1 != argc)
		return usage_error(argv, "name exactly one spare");

	status = report_open(argv[optind], false, &device, &copies);
	if (!status) {
		status = report_exit(&copies);
		if (json)
			json_print(report_json(&copies, &device));
		else
			print(&copies, &device);
	} else if (json && status == EXIT_UNDONE) {
		json_print(absence_json(&copies, &device));
	}
	report_close(&copies);
	return status;
}
