// SPDX-License-Identifier: GPL-2.0-only
/* Config and kernel command line: what counts, what overrides what, and that typos change nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "log.h"
#include "policy.h"

#define UUID_A "5e1a0c4e-0d2c-4b7e-9a53-0123456789ab"
#define UUID_B "5e1a0c4e-0d2c-4b7e-9a53-0123456789ac"

static void parse_line(struct policy *p, const char *line)
{
	char text[512];

	snprintf(text, sizeof(text), "%s", line);
	policy_command_line(p, text);
}

static void parse_config(struct policy *p, const char *config)
{
	char text[1024];

	snprintf(text, sizeof(text), "%s", config);
	policy_config(p, "config", text);
}

static const struct named_set *find(const struct policy *p, const char *text)
{
	uuid_t uuid;

	assert_int_equal(uuid_parse(text, uuid), 0);
	return policy_find(p, uuid);
}

static int start(void **state)
{
	static struct policy p;

	policy_init(&p);
	*state = &p;
	return 0;
}

static int end(void **state)
{
	policy_free(*state);
	return 0;
}

static void assert_defaults(const struct policy *p)
{
	assert_true(p->enabled && p->repair && p->use_config);
	assert_false(p->read_only || p->dry_run || p->allow_raw || p->debug);
	assert_int_equal(p->threshold, 90);
	assert_int_equal(p->timeout, 30);
	assert_int_equal(p->scrub_interval, 3600);
	assert_int_equal(p->auto_mode, AUTO_DEFAULT);
	assert_int_equal(p->set_count, 0);
	assert_true(policy_auto(p));
}

static void test_defaults(void **state)
{
	parse_line(*state, "root=UUID=x ro quiet rd.lvm=0 xrd.dmremap=0\n");
	parse_config(*state, "\n  # nothing\n\t\n");
	assert_defaults(*state);
}

static void test_every_option(void **state)
{
	struct policy *p = *state;

	parse_line(p,
		   "quiet rd.dmremap=0 rd.dmremap.uuid=" UUID_A " rd.dmremap.uuid=" UUID_B
		   " rd.dmremap.auto=1 rd.dmremap.threshold=70 rd.dmremap.repair=no rd.dmremap.ro=1"
		   " rd.dmremap.dry_run=1 rd.dmremap.timeout=5 rd.dmremap.conf=0"
		   " rd.dmremap.allow_raw=1 rd.dmremap.debug");
	assert_false(p->enabled || p->repair || p->use_config);
	assert_true(p->read_only && p->dry_run && p->allow_raw && p->debug);
	assert_int_equal(p->threshold, 70);
	assert_int_equal(p->timeout, 5);
	assert_int_equal(p->auto_mode, AUTO_ON);
	assert_int_equal(p->set_count, 2);
	assert_true(find(p, UUID_A)->on_command_line && find(p, UUID_B)->on_command_line);
}

static void test_the_last_word_counts(void **state)
{
	struct policy *p = *state;

	parse_line(p, "rd.dmremap=0 rd.dmremap.threshold=1 rd.dmremap=1 rd.dmremap.threshold=2");
	assert_true(p->enabled);
	assert_int_equal(p->threshold, 2);
}

static void test_typos_on_the_command_line(void **state)
{
	static const char *const typos[] = {
		"rd.dmremap=maybe",	    "rd.dmremap.threshold=101",
		"rd.dmremap.threshold=-1",  "rd.dmremap.threshold=90x",
		"rd.dmremap.threshold=",    "rd.dmremap.threshold",
		"rd.dmremap.repair=always", "rd.dmremap.timeout=99999999999999999999",
		"rd.dmremap.uuid=123",	    "rd.dmremap.uuid",
		"rd.dmremap.auto=2",	    "rd.dmremap.treshold=10",
		"rd.dmremap.ro=\x1b[31m",   "rd.dmremapped=0",
	};

	for (size_t i = 0; i < sizeof(typos) / sizeof(*typos); i++) {
		parse_line(*state, typos[i]);
		assert_defaults(*state);
	}
}

static void test_config(void **state)
{
	struct policy *p = *state;
	const struct named_set *set;

	parse_config(p, "# my disks\n"
			"set " UUID_A
			"  name=root main=wwid:naa.5000,partuuid:AB-01\tspare=serial:S1 # comment\n"
			"auto yes\nthreshold 80\nscrub_interval 0\n"
			"set " UUID_B);
	assert_int_equal(p->set_count, 2);
	set = find(p, UUID_A);
	assert_string_equal(set->name, "root");
	assert_int_equal(set->main.count, 2);
	assert_int_equal(set->main.tag[1].kind, TAG_PARTUUID);
	assert_string_equal(set->main.tag[1].value, "AB-01");
	assert_int_equal(set->spare.count, 1);
	assert_true(set->in_config && !set->on_command_line);
	assert_string_equal(find(p, UUID_B)->name, "");
	assert_int_equal(p->threshold, 80);
	assert_int_equal(p->scrub_interval, 0);
	assert_true(policy_auto(p));
}

static void test_a_hash_within_a_name(void **state)
{
	struct policy *p = *state;

	parse_config(p, "set " UUID_A " name=disk#1 # the first\n");
	assert_string_equal(p->sets[0].name, "disk#1");
}

static void test_typos_in_the_config(void **state)
{
	static const char *const typos[] = {
		"sett " UUID_A, "set",
		"set root",	"auto",
		"auto perhaps", "threshold 9 9",
		"threshold x",	"scrub_interval -1",
		"\x01\x02\xff", "set " UUID_A "x name=a",
	};

	for (size_t i = 0; i < sizeof(typos) / sizeof(*typos); i++) {
		parse_config(*state, typos[i]);
		assert_defaults(*state);
	}
}

static void test_a_typo_spoils_only_its_word(void **state)
{
	struct policy *p = *state;
	const struct named_set *set;

	parse_config(p, "set " UUID_A " name=../etc main=color:red spare=serial:S1\nthreshold 50");
	set = find(p, UUID_A);
	assert_string_equal(set->name, "");
	assert_int_equal(set->main.count, 0);
	assert_int_equal(set->spare.count, 1);
	assert_int_equal(p->threshold, 50);
}

static void test_auto(void **state)
{
	struct policy *p = *state;

	assert_true(policy_auto(p));
	parse_config(p, "set " UUID_A);
	assert_false(policy_auto(p));
	parse_line(p, "rd.dmremap.auto=1");
	assert_true(policy_auto(p));
	parse_line(p, "rd.dmremap.auto=0");
	assert_false(policy_auto(p));
	parse_line(p, "rd.dmremap.auto");
	assert_true(policy_auto(p));
}

/* The command line's sets are the only ones, unless auto is on. */
static void test_command_line_and_config(void **state)
{
	struct policy *p = *state;

	parse_config(p, "set " UUID_A " name=data\nthreshold 80");
	assert_non_null(find(p, UUID_A));
	parse_line(p, "rd.dmremap.uuid=" UUID_B " rd.dmremap.threshold=60");
	assert_null(find(p, UUID_A));
	assert_non_null(find(p, UUID_B));
	assert_int_equal(p->threshold, 60);
	parse_line(p, "rd.dmremap.auto=1");
	assert_non_null(find(p, UUID_A));
}

static bool matches(const char *tags, const struct device *d)
{
	struct policy p;
	char config[TAGS_TEXT + 64];
	bool yes;

	policy_init(&p);
	snprintf(config, sizeof(config), "set " UUID_A " main=%s", tags);
	parse_config(&p, config);
	yes = tags_match(&p.sets[0].main, d);
	policy_free(&p);
	return yes;
}

static void test_tags(void **state)
{
	struct device disk = {.path = "/dev/sdx", .wwid = "w", .serial = "s"};
	struct device part = disk;

	(void)state;
	part.part_number = 2;
	strcpy(part.path, "/dev/sdx2");
	strcpy(part.partuuid, "abcd-02");
	assert_true(matches("wwid:w,serial:s", &disk));
	assert_false(matches("wwid:w,serial:t", &disk));
	assert_false(matches("wwid:w", &part));
	assert_true(matches("wwid:w,partuuid:ABCD-02", &part));
	assert_false(matches("wwid:w,partuuid:abcd-02", &disk));
	assert_true(matches("path:/dev/sdx2", &part));
	assert_false(matches("path:/dev/sdx", &part));
}

/* What is written for a device means it, and no other, when it is read. */
static void test_tags_written(void **state)
{
	static const struct {
		struct device device;
		const char *tags;
	} rows[] = {
		{{.path = "/dev/sdx", .wwid = "naa.5", .serial = "s"}, "wwid:naa.5"},
		{{.path = "/dev/sdx", .serial = "s 1,2\\x"}, "serial:s\\x201\\x2c2\\x5cx"},
		{{.path = "/dev/sdx", .wwid = "t10.ATA  a disk\x80"},
		 "wwid:t10.ATA\\x20\\x20a\\x20disk\\x80"},
		{{.path = "/dev/sdx2", .part_number = 2, .wwid = "w", .partuuid = "p-02"},
		 "wwid:w,partuuid:p-02"},
		{{.path = "/dev/sdx3", .part_number = 3, .wwid = "w"}, "wwid:w,path:/dev/sdx3"},
		{{.path = "/dev/vda1", .part_number = 1, .partuuid = "p-01"}, "partuuid:p-01"},
		{{.path = "/dev/vda"}, "path:/dev/vda"},
	};
	struct device odd = {.path = "/dev/sdx"};
	char text[TAGS_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		tags_write(&rows[i].device, text, sizeof(text));
		assert_string_equal(text, rows[i].tags);
		assert_true(matches(text, &rows[i].device));
		for (size_t k = 0; k < sizeof(rows) / sizeof(*rows); k++)
			assert_true(k == i || !matches(text, &rows[k].device));
	}
	/* four characters for one make it longer than any wwid is */
	memset(odd.wwid, 0x80, sizeof(odd.wwid) - 1);
	tags_write(&odd, text, sizeof(text));
	assert_true(matches(text, &odd));
	assert_false(matches("wwid:a\\x2", &rows[0].device));
	assert_false(matches("wwid:a\\x00b", &rows[0].device));
	assert_false(matches("wwid:a\\b", &rows[0].device));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_defaults, start, end),
		cmocka_unit_test_setup_teardown(test_every_option, start, end),
		cmocka_unit_test_setup_teardown(test_the_last_word_counts, start, end),
		cmocka_unit_test_setup_teardown(test_typos_on_the_command_line, start, end),
		cmocka_unit_test_setup_teardown(test_config, start, end),
		cmocka_unit_test_setup_teardown(test_a_hash_within_a_name, start, end),
		cmocka_unit_test_setup_teardown(test_typos_in_the_config, start, end),
		cmocka_unit_test_setup_teardown(test_a_typo_spoils_only_its_word, start, end),
		cmocka_unit_test_setup_teardown(test_auto, start, end),
		cmocka_unit_test_setup_teardown(test_command_line_and_config, start, end),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_tags_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
