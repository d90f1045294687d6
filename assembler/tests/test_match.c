// SPDX-License-Identifier: GPL-2.0-only
/* Every odd machine is a row here: what is found, what is recorded, what is decided. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "match.h"

/* Rows say what matters and leave the rest 0. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MAIN_SECTORS  100000
#define SPARE_SECTORS 32768
#define MAX_DEVICES   8
#define MAX_SPARES    4

/* Short names for what a device tells. */
#define WWID(x)     .wwid = (x)
#define SERIAL(x)   .serial = (x)
#define PARTUUID(x) .partuuid = (x)
#define PTUUID(x)   .ptuuid = (x)
#define FSUUID(x)   .fsuuid = (x)

/* Confidence */

static void test_confidence(void **state)
{
	static const struct {
		const char *what;
		struct dmr_identity recorded;
		struct device found;
		int least, most;
	} rows[] = {
		{"same disk, all ids",
		 {.sectors = 100, WWID("w"), SERIAL("s"), FSUUID("f")},
		 {.sectors = 100, WWID("w"), SERIAL("s"), FSUUID("f")},
		 100,
		 100},
		{"same disk by its wwid only",
		 {.sectors = 100, WWID("w")},
		 {.sectors = 100, WWID("w")},
		 100,
		 100},
		{"same disk by its serial only",
		 {.sectors = 100, SERIAL("s")},
		 {.sectors = 100, SERIAL("s")},
		 100,
		 100},
		{"same disk, new file system",
		 {.sectors = 100, WWID("w"), FSUUID("f")},
		 {.sectors = 100, WWID("w"), FSUUID("g")},
		 90,
		 100},
		{"same disk, new partition table",
		 {.sectors = 100, WWID("w"), PTUUID("t")},
		 {.sectors = 100, WWID("w"), PTUUID("u")},
		 90,
		 100},
		{"virtio partition",
		 {.sectors = 100, .part_number = 1, PARTUUID("p"), PTUUID("t")},
		 {.sectors = 100, .part_number = 1, PARTUUID("p"), PTUUID("t")},
		 90,
		 100},
		{"PARTUUID and size only",
		 {.sectors = 100, PARTUUID("p")},
		 {.sectors = 100, PARTUUID("p")},
		 90,
		 100},
		{"renumbered partition",
		 {.sectors = 100, .part_number = 1, WWID("w"), PARTUUID("p"), PTUUID("t")},
		 {.sectors = 100, .part_number = 2, WWID("w"), PARTUUID("p"), PTUUID("t")},
		 90,
		 100},
		{"clone on another disk",
		 {.sectors = 100,
		  .part_number = 1,
		  WWID("w"),
		  PARTUUID("p"),
		  PTUUID("t"),
		  FSUUID("f")},
		 {.sectors = 100,
		  .part_number = 1,
		  WWID("x"),
		  PARTUUID("p"),
		  PTUUID("t"),
		  FSUUID("f")},
		 1,
		 89},
		{"neighbour on the same disk",
		 {.sectors = 100, .part_number = 1, WWID("w"), PARTUUID("p"), PTUUID("t")},
		 {.sectors = 100, .part_number = 2, WWID("w"), PARTUUID("q"), PTUUID("t")},
		 0,
		 60},
		{"whole disk instead of its partition",
		 {.sectors = 100, .part_number = 1, WWID("w"), PARTUUID("p"), PTUUID("t")},
		 {.sectors = 500, WWID("w"), PTUUID("t")},
		 0,
		 60},
		{"file system and size only",
		 {.sectors = 100, FSUUID("f")},
		 {.sectors = 100, FSUUID("f")},
		 60,
		 80},
		{"file system on something larger",
		 {.sectors = 100, FSUUID("f")},
		 {.sectors = 200, FSUUID("f")},
		 60,
		 80},
		{"size only", {.sectors = 100}, {.sectors = 100}, 0, 30},
		{"too small", {.sectors = 100, WWID("w")}, {.sectors = 99, WWID("w")}, 0, 0},
		{"nothing in common",
		 {.sectors = 100, WWID("w"), FSUUID("f")},
		 {.sectors = 100, WWID("x"), FSUUID("g")},
		 0,
		 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct evidence e;

		evidence_compare(&rows[i].recorded, 100, &rows[i].found, &e);
		if (e.confidence < rows[i].least || e.confidence > rows[i].most)
			fail_msg("%s: %d", rows[i].what, e.confidence);
		assert_int_equal(e.possible, rows[i].found.sectors >= 100);
	}
}

/* Decisions */

/* A machine: devices, and which of them are spares of which set. */
struct machine {
	struct policy policy;
	struct device device[MAX_DEVICES];
	size_t devices;
	struct found_spare spare[MAX_SPARES];
	struct dmr_super super[MAX_SPARES];
	size_t spares;
	struct active_set active;
	const char *wanted;
	struct decision *decision;
	int decisions;
};

static const uint8_t uuid_a[DMR_UUID_SIZE] = "set A..........";
static const uint8_t uuid_b[DMR_UUID_SIZE] = "set B..........";

static struct device *add_device(struct machine *m, const char *name, struct device facts)
{
	struct device *d = &m->device[m->devices++];

	*d = facts;
	snprintf(d->path, sizeof(d->path), "/dev/%s", name);
	d->dev = m->devices;
	d->disk = d->disk ? d->disk : d->dev;
	d->sectors = d->sectors ? d->sectors : MAIN_SECTORS;
	d->block = d->block ? d->block : 512;
	return d;
}

/* A whole spare, on a disk of its own, of a set whose main is @main, just as it is. */
static struct found_spare *add_spare(struct machine *m, const char *name, const uint8_t *uuid,
				     const struct device *main)
{
	struct device *d = add_device(m, name, (struct device){.sectors = SPARE_SECTORS});
	struct dmr_super *s = &m->super[m->spares];
	struct found_spare *found = &m->spare[m->spares++];

	snprintf(d->serial, sizeof(d->serial), "serial of %s", name);
	*s = (struct dmr_super){
		.header.generation = 7,
		.length = main->sectors,
		.main_block = 512,
		.spare_sectors = SPARE_SECTORS,
		.name = "home",
	};
	device_identity(main, &s->main);
	device_identity(d, &s->spare);
	*found = (struct found_spare){
		.device = d, .super = s, .verdict = VERDICT_CLEAN, .valid_copies = 5};
	memcpy(found->uuid, uuid, sizeof(found->uuid));
	return found;
}

static void name_set(struct machine *m, const uint8_t *uuid, const char *rest)
{
	char text[UUID_STR_LEN], line[256];

	uuid_unparse(uuid, text);
	snprintf(line, sizeof(line), "set %s %s", text, rest);
	policy_config(&m->policy, "config", line);
}

static const struct decision *decide(struct machine *m)
{
	struct match_input in = {
		.policy = &m->policy,
		.devices = m->device,
		.device_count = m->devices,
		.spares = m->spare,
		.spare_count = m->spares,
		.active = &m->active,
		.active_count = *m->active.name != 0,
		.wanted = &m->wanted,
		.wanted_count = m->wanted != NULL,
	};

	free(m->decision);
	m->decisions = match_decide(&in, &m->decision);
	assert_true(m->decisions >= 0);
	for (int i = 0; i < m->decisions; i++)
		assert_true(*m->decision[i].reason && *m->decision[i].name);
	return m->decision;
}

static int start(void **state)
{
	struct machine *m = calloc(1, sizeof(*m));

	policy_init(&m->policy);
	*state = m;
	return 0;
}

static int end(void **state)
{
	struct machine *m = *state;

	policy_free(&m->policy);
	free(m->decision);
	free(m);
	return 0;
}

static void test_plain(void **state)
{
	struct machine *m = *state;
	struct device *main = add_device(m, "sda", (struct device){WWID("w")});

	add_device(m, "sdb", (struct device){WWID("x")});
	add_spare(m, "sdc", uuid_a, main);
	decide(m);
	assert_int_equal(m->decisions, 1);
	assert_int_equal(m->decision->kind, DECIDE_ACTIVATE);
	assert_ptr_equal(m->decision->main, main);
	assert_string_equal(m->decision->name, "home");
}

static void test_nothing_there(void **state)
{
	struct machine *m = *state;

	add_device(m, "sda", (struct device){WWID("w")});
	decide(m);
	assert_int_equal(m->decisions, 0);
}

/* A single change to a plain machine, and what it leads to. */
static void mount_main(struct machine *m, struct device *main, struct found_spare *spare)
{
	(void)m;
	(void)spare;
	strcpy(main->in_use, "mounted on /");
}

static void hold_spare(struct machine *m, struct device *main, struct found_spare *spare)
{
	(void)main;
	strcpy(m->device[spare->device - m->device].in_use, "used by /dev/md0");
}

static void remove_main_medium(struct machine *m, struct device *main, struct found_spare *spare)
{
	(void)m;
	(void)spare;
	main->removable = true;
}

static void remove_spare_medium(struct machine *m, struct device *main, struct found_spare *spare)
{
	(void)main;
	m->device[spare->device - m->device].removable = true;
}

static void shrink_main(struct machine *m, struct device *main, struct found_spare *spare)
{
	(void)m;
	(void)spare;
	main->sectors--;
}

static void change_disk(struct machine *m, struct device *main, struct found_spare *spare)
{
	(void)m;
	(void)spare;
	strcpy(main->wwid, "another");
}

static void clone_main(struct machine *m, struct device *main, struct found_spare *spare)
{
	(void)spare;
	add_device(m, "sdz", *main);
}

static void clone_file_system(struct machine *m, struct device *main, struct found_spare *spare)
{
	struct device clone = *main;

	(void)spare;
	strcpy(clone.wwid, "another");
	add_device(m, "sdz", clone);
}

static void lose_metadata(struct machine *m, struct device *main, struct found_spare *spare)
{
	(void)m;
	(void)main;
	spare->verdict = VERDICT_LOST;
	spare->super = NULL;
	spare->reason = DMR_LOST;
}

static void fill(struct machine *m, struct device *main, struct found_spare *spare)
{
	(void)main;
	(void)spare;
	m->super[0].state = cpu_to_le32(DMR_STATE_INCOMING);
	m->super[0].peer_uuid[0] = 1;
}

static void supersede(struct machine *m, struct device *main, struct found_spare *spare)
{
	(void)main;
	(void)spare;
	m->super[0].state = cpu_to_le32(DMR_STATE_SUPERSEDED);
}

static void reuse_spare(struct machine *m, struct device *main, struct found_spare *spare)
{
	(void)m;
	(void)main;
	strcpy(spare->signature, "ext4");
	spare->valid_copies = 4;
	spare->verdict = VERDICT_REPAIRABLE;
}

static void large_blocks(struct machine *m, struct device *main, struct found_spare *spare)
{
	(void)m;
	(void)spare;
	main->block = 4096;
}

static void test_one_change(void **state)
{
	static const struct {
		const char *what;
		void (*change)(struct machine *m, struct device *main, struct found_spare *spare);
		enum decision_kind unnamed, named;
	} rows[] = {
		{"main mounted", mount_main, DECIDE_SKIP, DECIDE_SKIP},
		{"spare held", hold_spare, DECIDE_SKIP, DECIDE_SKIP},
		{"main removable", remove_main_medium, DECIDE_SKIP, DECIDE_ACTIVATE},
		{"spare removable", remove_spare_medium, DECIDE_SKIP, DECIDE_ACTIVATE},
		{"main too small", shrink_main, DECIDE_MISSING, DECIDE_MISSING},
		{"main on another disk", change_disk, DECIDE_MISSING, DECIDE_ACTIVATE},
		{"two paths to one main", clone_main, DECIDE_CONFLICT, DECIDE_CONFLICT},
		{"file system copied", clone_file_system, DECIDE_ACTIVATE, DECIDE_ACTIVATE},
		{"metadata lost", lose_metadata, DECIDE_DAMAGED, DECIDE_DAMAGED},
		{"spare in other use", reuse_spare, DECIDE_CONFLICT, DECIDE_ACTIVATE},
		{"spare superseded", supersede, DECIDE_SKIP, DECIDE_SKIP},
		{"spare being filled", fill, DECIDE_SKIP, DECIDE_SKIP},
		{"blocks too large", large_blocks, DECIDE_MISSING, DECIDE_MISSING},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows) * 2; i++) {
		bool named = i % 2;
		struct machine *m;
		struct device *main;

		end(state);
		start(state);
		m = *state;
		main = add_device(m, "sda", (struct device){WWID("w"), FSUUID("f")});
		rows[i / 2].change(m, main, add_spare(m, "sdc", uuid_a, main));
		if (named)
			name_set(m, uuid_a, "");
		if (decide(m)->kind != (named ? rows[i / 2].named : rows[i / 2].unnamed))
			fail_msg("%s, %snamed: %s: %s", rows[i / 2].what, named ? "" : "not ",
				 decision_text(m->decision->kind), m->decision->reason);
	}
}

static void test_active_already(void **state)
{
	struct machine *m = *state;
	struct device *main = add_device(m, "sda", (struct device){WWID("w")});

	add_spare(m, "sdc", uuid_a, main);
	strcpy(main->in_use, "used by /dev/dm-0");
	strcpy(m->active.name, "other");
	m->active.spare = m->spare->device->dev;
	m->active.main = main->dev;
	memcpy(m->active.uuid, uuid_a, sizeof(uuid_a));
	assert_int_equal(decide(m)->kind, DECIDE_ACTIVE);
	assert_string_equal(m->decision->name, "other");
	assert_ptr_equal(m->decision->main, main);
	m->active.spare = main->dev;
	assert_int_equal(decide(m)->kind, DECIDE_SKIP);
}

static void test_threshold_is_for_unnamed_sets(void **state)
{
	struct machine *m = *state;
	struct device *main = add_device(m, "vda", (struct device){FSUUID("f")});

	add_spare(m, "vdb", uuid_a, main);
	assert_int_equal(decide(m)->kind, DECIDE_MISSING);
	m->policy.threshold = 60;
	assert_int_equal(decide(m)->kind, DECIDE_ACTIVATE);
	m->policy.threshold = 90;
	m->wanted = "home";
	assert_int_equal(decide(m)->kind, DECIDE_ACTIVATE);
}

/* A blank virtio disk: nothing but its size was recorded. */
static void test_size_alone(void **state)
{
	struct machine *m = *state;
	struct device *main = add_device(m, "vda", (struct device){0});

	add_spare(m, "vdb", uuid_a, main);
	assert_int_equal(decide(m)->kind, DECIDE_MISSING);
	m->wanted = "home";
	assert_int_equal(decide(m)->kind, DECIDE_ACTIVATE);
	add_device(m, "vdc", (struct device){0});
	assert_int_equal(decide(m)->kind, DECIDE_CONFLICT);
	add_device(m, "vdd", (struct device){.sectors = MAIN_SECTORS + 8});
	assert_int_equal(decide(m)->kind, DECIDE_CONFLICT);
}

static void test_wrong_disk_of_the_right_size(void **state)
{
	struct machine *m = *state;
	struct device recorded = {.sectors = MAIN_SECTORS, WWID("w")};

	add_device(m, "sda", (struct device){WWID("x")});
	add_spare(m, "sdb", uuid_a, &recorded);
	m->wanted = "home";
	assert_int_equal(decide(m)->kind, DECIDE_MISSING);
}

/* The main is gone; its neighbour has the right size, on the right disk. */
static void test_a_neighbour_is_never_taken(void **state)
{
	struct machine *m = *state;
	struct device part = {
		.sectors = MAIN_SECTORS, .part_number = 1, SERIAL("s"), PARTUUID("p"), PTUUID("t")};
	struct device other = {.part_number = 2, SERIAL("s"), PARTUUID("q"), PTUUID("t")};

	add_device(m, "vda2", other);
	add_spare(m, "vdb", uuid_a, &part);
	m->wanted = "home";
	assert_int_equal(decide(m)->kind, DECIDE_MISSING);
	/* nor if nothing but the number tells */
	*m->device[0].partuuid = '\0';
	assert_int_equal(decide(m)->kind, DECIDE_MISSING);
	name_set(m, uuid_a, "main=path:/dev/vda2");
	assert_int_equal(decide(m)->kind, DECIDE_ACTIVATE);
}

static void test_tags_decide(void **state)
{
	struct machine *m = *state;
	struct device *main =
		add_device(m, "vda", (struct device){PARTUUID("p"), .part_number = 1});

	add_device(m, "vdb", *main);
	add_spare(m, "vdc", uuid_a, main);
	assert_int_equal(decide(m)->kind, DECIDE_CONFLICT);
	name_set(m, uuid_a, "name=data main=path:/dev/vdb");
	assert_int_equal(decide(m)->kind, DECIDE_ACTIVATE);
	assert_string_equal(m->decision->main->path, "/dev/vdb");
	assert_string_equal(m->decision->name, "data");
	policy_free(&m->policy);
	name_set(m, uuid_a, "main=path:/dev/vdx");
	assert_int_equal(decide(m)->kind, DECIDE_MISSING);
}

static void test_spare_tags(void **state)
{
	struct machine *m = *state;
	struct device *main = add_device(m, "sda", (struct device){WWID("w")});

	add_spare(m, "sdc", uuid_a, main);
	name_set(m, uuid_a, "spare=serial:other");
	assert_int_equal(decide(m)->kind, DECIDE_SKIP);
}

static void test_named_sets_are_the_only_ones(void **state)
{
	struct machine *m = *state;
	struct device *main = add_device(m, "sda", (struct device){WWID("w")});

	add_spare(m, "sdc", uuid_a, main);
	name_set(m, uuid_b, "name=needed");
	decide(m);
	assert_int_equal(m->decisions, 2);
	assert_int_equal(m->decision[0].kind, DECIDE_SKIP);
	assert_int_equal(m->decision[1].kind, DECIDE_MISSING);
	assert_string_equal(m->decision[1].name, "needed");
	assert_true(m->decision[1].named);
	m->policy.auto_mode = AUTO_ON;
	assert_int_equal(decide(m)->kind, DECIDE_ACTIVATE);
}

static void test_two_spares_of_one_set(void **state)
{
	struct machine *m = *state;
	struct device *main = add_device(m, "sda", (struct device){WWID("w")});
	struct found_spare *first = add_spare(m, "sdc", uuid_a, main);
	struct found_spare *second = add_spare(m, "sdd", uuid_a, main);

	/* both are where they were recorded: the newer one stands */
	m->super[1].header.generation = cpu_to_le64(8);
	decide(m);
	assert_int_equal(m->decision[0].kind, DECIDE_SKIP);
	assert_int_equal(m->decision[1].kind, DECIDE_ACTIVATE);
	/* the newer one is a copy of the other: it doesn't */
	m->super[1].spare = m->super[0].spare;
	decide(m);
	assert_int_equal(m->decision[0].kind, DECIDE_ACTIVATE);
	assert_int_equal(m->decision[1].kind, DECIDE_SKIP);
	/* nobody can tell, and newer is no argument */
	memset(&m->device[first->device - m->device].serial, 0, 64);
	memset(&m->device[second->device - m->device].serial, 0, 64);
	decide(m);
	assert_int_equal(m->decision[0].kind, DECIDE_CONFLICT);
	assert_int_equal(m->decision[1].kind, DECIDE_CONFLICT);
	/* one was superseded */
	m->super[0].state = cpu_to_le32(DMR_STATE_SUPERSEDED);
	decide(m);
	assert_int_equal(m->decision[0].kind, DECIDE_SKIP);
	assert_int_equal(m->decision[1].kind, DECIDE_ACTIVATE);
}

/* A main and two spares of its set, of which the second was filled from the first. */
static void add_successive_spares(struct machine *m)
{
	struct device *main = add_device(m, "sda", (struct device){WWID("w")});

	add_spare(m, "sdc", uuid_a, main);
	add_spare(m, "sdd", uuid_a, main);
	m->super[0].spare_uuid[0] = 1;
	m->super[1].spare_uuid[0] = 2;
	m->super[1].peer_uuid[0] = 1;
	m->super[1].header.generation = cpu_to_le64(8);
}

/* A set that was moving from one spare to another when the power went. */
static void test_a_migration_that_was_cut(void **state)
{
	struct machine *m = *state;
	struct dmr_super *old = &m->super[0], *new = &m->super[1];

	add_successive_spares(m);
	old->state = cpu_to_le32(DMR_STATE_MIGRATING);
	old->peer_uuid[0] = 2;
	new->state = cpu_to_le32(DMR_STATE_INCOMING);
	/* the old one doesn't say that it was replaced, so it was not */
	decide(m);
	assert_int_equal(m->decision[0].kind, DECIDE_ACTIVATE);
	assert_int_equal(m->decision[1].kind, DECIDE_SKIP);
	assert_non_null(strstr(m->decision[1].reason, "was being filled from /dev/sdc"));
	/* it does */
	old->state = cpu_to_le32(DMR_STATE_SUPERSEDED);
	decide(m);
	assert_int_equal(m->decision[0].kind, DECIDE_SKIP);
	assert_int_equal(m->decision[1].kind, DECIDE_ACTIVATE);
	/* the config still names the old one */
	name_set(m, uuid_a, "spare=path:/dev/sdc");
	decide(m);
	assert_int_equal(m->decision[1].kind, DECIDE_ACTIVATE);
	policy_free(&m->policy);
	/* but speaks of another */
	old->peer_uuid[0] = 3;
	decide(m);
	assert_int_equal(m->decision[0].kind, DECIDE_SKIP);
	assert_int_equal(m->decision[1].kind, DECIDE_SKIP);
	/* an old one that could not be written any more: the new one is the newer */
	old->state = cpu_to_le32(DMR_STATE_MIGRATING);
	new->state = cpu_to_le32(DMR_STATE_CLEAN);
	decide(m);
	assert_int_equal(m->decision[0].kind, DECIDE_SKIP);
	assert_int_equal(m->decision[1].kind, DECIDE_ACTIVATE);
	/* also if nobody knows its disk, but then the old one must not be used for it */
	memset(m->device[m->spare[1].device - m->device].serial, 0, 64);
	decide(m);
	assert_int_not_equal(m->decision[0].kind, DECIDE_ACTIVATE);
	assert_int_not_equal(m->decision[1].kind, DECIDE_ACTIVATE);
	/* and if the new one has begun to move on itself */
	new->state = cpu_to_le32(DMR_STATE_MIGRATING);
	decide(m);
	assert_int_not_equal(m->decision[0].kind, DECIDE_ACTIVATE);
	assert_int_not_equal(m->decision[1].kind, DECIDE_ACTIVATE);
}

/* The new one could not be told that the move did not succeed, and the old one went on. */
static void test_a_migration_that_was_taken_back(void **state)
{
	struct machine *m = *state;

	add_successive_spares(m);
	m->super[0].header.generation = cpu_to_le64(9);
	decide(m);
	assert_int_equal(m->decision[0].kind, DECIDE_ACTIVATE);
	assert_int_equal(m->decision[1].kind, DECIDE_SKIP);
	/* the disk of the one that is right can't be told, so neither is used */
	memset(m->device[m->spare[0].device - m->device].serial, 0, 64);
	decide(m);
	assert_int_not_equal(m->decision[0].kind, DECIDE_ACTIVATE);
	assert_int_equal(m->decision[1].kind, DECIDE_CONFLICT);
}

/* Of two that could be the spare before an incoming one, one is a copy from an earlier time. */
static void test_any_spare_that_says_so_was_replaced(void **state)
{
	struct machine *m = *state;
	struct device *main = add_device(m, "sda", (struct device){WWID("w")});
	struct dmr_super *copy = &m->super[0], *old = &m->super[1], *new = &m->super[2];

	add_spare(m, "sdb", uuid_a, main);
	add_spare(m, "sdc", uuid_a, main);
	add_spare(m, "sdd", uuid_a, main);
	copy->spare_uuid[0] = old->spare_uuid[0] = 1;
	copy->spare = old->spare;
	copy->state = cpu_to_le32(DMR_STATE_MIGRATING);
	old->state = cpu_to_le32(DMR_STATE_SUPERSEDED);
	new->state = cpu_to_le32(DMR_STATE_INCOMING);
	new->spare_uuid[0] = copy->peer_uuid[0] = old->peer_uuid[0] = 2;
	new->peer_uuid[0] = 1;
	decide(m);
	assert_int_not_equal(m->decision[0].kind, DECIDE_ACTIVATE);
	assert_int_equal(m->decision[1].kind, DECIDE_SKIP);
	assert_int_equal(m->decision[2].kind, DECIDE_ACTIVATE);
	assert_ptr_equal(m->decision[2].replaced, &m->spare[1]);
}

/* Of two spares one is lost: the other counts only if its hardware says that it is the set's own. */
static void test_one_of_two_spares_is_lost(void **state)
{
	struct machine *m = *state;
	struct device *main = add_device(m, "sda", (struct device){WWID("w")});

	add_spare(m, "sdc", uuid_a, main);
	add_spare(m, "sdd", uuid_a, main);
	m->spare[1].verdict = VERDICT_LOST;
	m->spare[1].super = NULL;
	decide(m);
	assert_int_equal(m->decision[0].kind, DECIDE_ACTIVATE);
	assert_int_equal(m->decision[1].kind, DECIDE_SKIP);
	strcpy(m->super[0].spare.serial, "another");
	decide(m);
	assert_int_equal(m->decision[0].kind, DECIDE_CONFLICT);
	assert_int_equal(m->decision[1].kind, DECIDE_DAMAGED);
}

static void test_two_sets_for_one_main(void **state)
{
	struct machine *m = *state;
	struct device *main = add_device(m, "sda", (struct device){WWID("w")});

	add_spare(m, "sdc", uuid_a, main);
	add_spare(m, "sdd", uuid_b, main);
	decide(m);
	assert_int_equal(m->decision[0].kind, DECIDE_CONFLICT);
	assert_int_equal(m->decision[1].kind, DECIDE_CONFLICT);
	name_set(m, uuid_b, "");
	m->policy.auto_mode = AUTO_ON;
	decide(m);
	assert_int_equal(m->decision[0].kind, DECIDE_SKIP);
	assert_int_equal(m->decision[1].kind, DECIDE_ACTIVATE);
}

static void test_two_sets_of_one_name(void **state)
{
	struct machine *m = *state;

	add_spare(m, "sdc", uuid_a, add_device(m, "sda", (struct device){WWID("w")}));
	add_spare(m, "sdd", uuid_b, add_device(m, "sdb", (struct device){WWID("x")}));
	decide(m);
	assert_int_equal(m->decision[0].kind, DECIDE_CONFLICT);
	assert_int_equal(m->decision[1].kind, DECIDE_CONFLICT);
	name_set(m, uuid_b, "name=other");
	m->policy.auto_mode = AUTO_ON;
	decide(m);
	assert_int_equal(m->decision[0].kind, DECIDE_ACTIVATE);
	assert_int_equal(m->decision[1].kind, DECIDE_ACTIVATE);
}

/* A disk and its partition both claimed: they share sectors. */
static void test_overlapping_mains(void **state)
{
	struct machine *m = *state;
	struct device *disk = add_device(m, "sda", (struct device){WWID("w"), .sectors = 200000});
	struct device *part = add_device(
		m, "sda1",
		(struct device){.part_number = 1, .disk = disk->dev, WWID("w"), PARTUUID("p")});

	add_spare(m, "sdc", uuid_a, disk);
	add_spare(m, "sdd", uuid_b, part);
	decide(m);
	assert_int_equal(m->decision[0].kind, DECIDE_CONFLICT);
	assert_int_equal(m->decision[1].kind, DECIDE_CONFLICT);
}

static void test_a_spare_is_nobodys_main(void **state)
{
	struct machine *m = *state;
	struct device *main = add_device(m, "sda", (struct device){WWID("w")});
	struct found_spare *other;

	add_spare(m, "sdb", uuid_a, main);
	other = add_spare(m, "sdc", uuid_b, &m->device[1]);
	assert_ptr_equal(other, &m->spare[1]);
	decide(m);
	assert_int_equal(m->decision[0].kind, DECIDE_ACTIVATE);
	assert_int_equal(m->decision[1].kind, DECIDE_MISSING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_confidence),
		cmocka_unit_test_setup_teardown(test_plain, start, end),
		cmocka_unit_test_setup_teardown(test_nothing_there, start, end),
		cmocka_unit_test_setup_teardown(test_one_change, start, end),
		cmocka_unit_test_setup_teardown(test_active_already, start, end),
		cmocka_unit_test_setup_teardown(test_threshold_is_for_unnamed_sets, start, end),
		cmocka_unit_test_setup_teardown(test_size_alone, start, end),
		cmocka_unit_test_setup_teardown(test_wrong_disk_of_the_right_size, start, end),
		cmocka_unit_test_setup_teardown(test_a_neighbour_is_never_taken, start, end),
		cmocka_unit_test_setup_teardown(test_tags_decide, start, end),
		cmocka_unit_test_setup_teardown(test_spare_tags, start, end),
		cmocka_unit_test_setup_teardown(test_named_sets_are_the_only_ones, start, end),
		cmocka_unit_test_setup_teardown(test_two_spares_of_one_set, start, end),
		cmocka_unit_test_setup_teardown(test_a_migration_that_was_cut, start, end),
		cmocka_unit_test_setup_teardown(test_a_migration_that_was_taken_back, start, end),
		cmocka_unit_test_setup_teardown(test_any_spare_that_says_so_was_replaced, start,
						end),
		cmocka_unit_test_setup_teardown(test_one_of_two_spares_is_lost, start, end),
		cmocka_unit_test_setup_teardown(test_two_sets_for_one_main, start, end),
		cmocka_unit_test_setup_teardown(test_two_sets_of_one_name, start, end),
		cmocka_unit_test_setup_teardown(test_overlapping_mains, start, end),
		cmocka_unit_test_setup_teardown(test_a_spare_is_nobodys_main, start, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
