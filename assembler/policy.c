// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "activate.h"
#include "log.h"
#include "policy.h"

#define MAX_TEXT (1 << 20) /* more than any config that a person wrote */

enum kind {
	KIND_FLAG, /* bool */
	KIND_AUTO, /* enum auto_mode */
	KIND_NUMBER, /* unsigned int */
	KIND_REPAIR, /* bool: auto or no */
	KIND_SET, /* a set to activate */
};

/* Every option that can be given on the kernel command line. */
static const struct option_rule {
	const char *name;
	enum kind kind;
	size_t offset;
	unsigned int max;
} command_line_rules[] = {
	{"rd.dmremap", KIND_FLAG, offsetof(struct policy, enabled), 0},
	{"rd.dmremap.uuid", KIND_SET, 0, 0},
	{"rd.dmremap.auto", KIND_AUTO, offsetof(struct policy, auto_mode), 0},
	{"rd.dmremap.threshold", KIND_NUMBER, offsetof(struct policy, threshold), 100},
	{"rd.dmremap.repair", KIND_REPAIR, offsetof(struct policy, repair), 0},
	{"rd.dmremap.ro", KIND_FLAG, offsetof(struct policy, read_only), 0},
	{"rd.dmremap.dry_run", KIND_FLAG, offsetof(struct policy, dry_run), 0},
	{"rd.dmremap.timeout", KIND_NUMBER, offsetof(struct policy, timeout), 86400},
	{"rd.dmremap.conf", KIND_FLAG, offsetof(struct policy, use_config), 0},
	{"rd.dmremap.allow_raw", KIND_FLAG, offsetof(struct policy, allow_raw), 0},
	{"rd.dmremap.debug", KIND_FLAG, offsetof(struct policy, debug), 0},
};

/* Every word that can start a line of the config, but "set". */
static const struct option_rule config_rules[] = {
	{"auto", KIND_AUTO, offsetof(struct policy, auto_mode), 0},
	{"threshold", KIND_NUMBER, offsetof(struct policy, threshold), 100},
	{"scrub_interval", KIND_NUMBER, offsetof(struct policy, scrub_interval), 365 * 86400},
};

void policy_init(struct policy *p)
{
	*p = (struct policy){
		.enabled = true,
		.threshold = 90,
		.repair = true,
		.use_config = true,
		.timeout = 30,
		.scrub_interval = SCRUB_INTERVAL,
	};
}

void policy_free(struct policy *p)
{
	free(p->sets);
	p->sets = NULL;
	p->set_count = 0;
}

static bool parse_flag(const char *text, bool *value)
{
	static const char *const on[] = {"1", "yes", "on", "true"}, *const off[] = {"0", "no",
										    "off", "false"};

	for (int i = 0; i < 4; i++) {
		if (strcmp(text, on[i]) && strcmp(text, off[i]))
			continue;
		*value = !strcmp(text, on[i]);
		return true;
	}
	return false;
}

static bool parse_number(const char *text, unsigned int max, unsigned int *value)
{
	unsigned long n;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || *end || n > max)
		return false;
	*value = n;
	return true;
}

static struct named_set *find_set(const struct policy *p, const uuid_t uuid)
{
	for (size_t i = 0; i < p->set_count; i++) {
		if (!uuid_compare(p->sets[i].uuid, uuid))
			return &p->sets[i];
	}
	return NULL;
}

/* The named set @uuid, new if it wasn't there. NULL if there is no memory. */
static struct named_set *name_set(struct policy *p, const uuid_t uuid)
{
	struct named_set *more = find_set(p, uuid);

	if (more)
		return more;
	more = realloc(p->sets, (p->set_count + 1) * sizeof(*more));
	if (!more)
		return NULL;
	p->sets = more;
	more += p->set_count++;
	memset(more, 0, sizeof(*more));
	uuid_copy(more->uuid, uuid);
	return more;
}

/* Apply @text to the option of @rule; false if it makes no sense. */
static bool apply(struct policy *p, const struct option_rule *rule, const char *text)
{
	void *field = (char *)p + rule->offset;
	struct named_set *set;
	uuid_t uuid;
	bool flag;

	switch (rule->kind) {
	case KIND_FLAG:
		return parse_flag(text, field);
	case KIND_AUTO:
		if (!parse_flag(text, &flag))
			return false;
		*(enum auto_mode *)field = flag ? AUTO_ON : AUTO_OFF;
		return true;
	case KIND_NUMBER:
		return parse_number(text, rule->max, field);
	case KIND_REPAIR:
		*(bool *)field = strcmp(text, "no");
		return !strcmp(text, "no") || !strcmp(text, "auto");
	case KIND_SET:
		if (uuid_parse(text, uuid))
			return false;
		set = name_set(p, uuid);
		if (set)
			set->on_command_line = true;
		return set;
	}
	return false;
}

static void command_line_option(struct policy *p, const char *name, const char *value)
{
	for (size_t i = 0; i < sizeof(command_line_rules) / sizeof(*command_line_rules); i++) {
		const struct option_rule *rule = &command_line_rules[i];

		if (strcmp(name, rule->name))
			continue;
		if (!value && (rule->kind == KIND_FLAG || rule->kind == KIND_AUTO))
			value = "1"; /* as everywhere on the command line */
		if (!value || !apply(p, rule, value))
			log_error("%s=%s on the kernel command line makes no sense; the default is "
				  "used",
				  name, printable(value ? value : ""));
		return;
	}
	log_error("%s on the kernel command line is no option of dm-remap; ignored",
		  printable(name));
}

void policy_command_line(struct policy *p, char *line)
{
	char *word, *value, *rest = line;

	while ((word = strsep(&rest, " \t\n"))) {
		if (strncmp(word, "rd.dmremap", strlen("rd.dmremap")))
			continue;
		value = strchr(word, '=');
		if (value)
			*value++ = '\0';
		command_line_option(p, word, value);
	}
}

/* One word "key=value" of a set's line. */
static bool parse_member(struct named_set *set, const char *key, char *value)
{
	if (!strcmp(key, "main"))
		return tags_parse(&set->main, value);
	if (!strcmp(key, "spare"))
		return tags_parse(&set->spare, value);
	if (strcmp(key, "name") || !dmr_name_valid(value))
		return false;
	strcpy(set->name, value);
	return true;
}

static void config_set(struct policy *p, const char *where, char *rest)
{
	const char *text = strsep(&rest, " ");
	struct named_set *set;
	char *word;
	uuid_t uuid;

	if (!text || uuid_parse(text, uuid)) {
		log_error("%s: '%s' is not the UUID of a set; the line is ignored", where,
			  printable(text ? text : ""));
		return;
	}
	set = name_set(p, uuid);
	if (!set)
		return;
	set->in_config = true;
	while ((word = strsep(&rest, " "))) {
		char *value = strchr(word, '=');

		if (value)
			*value++ = '\0';
		if (*word && (!value || !parse_member(set, word, value)))
			log_error("%s: '%s=%s' makes no sense and is ignored", where,
				  printable(word), printable(value ? value : ""));
	}
}

static void config_line(struct policy *p, const char *where, char *line)
{
	char *rest = line;
	const char *key;

	key = strsep(&rest, " ");
	if (!strcmp(key, "set")) {
		config_set(p, where, rest);
		return;
	}
	for (size_t i = 0; i < sizeof(config_rules) / sizeof(*config_rules); i++) {
		if (strcmp(key, config_rules[i].name))
			continue;
		if (!rest || !apply(p, &config_rules[i], rest))
			log_error("%s: '%s' makes no sense for %s; the default is used", where,
				  printable(rest ? rest : ""), key);
		return;
	}
	log_error("%s: '%s' is no option of dm-remap; the line is ignored", where, printable(key));
}

/* Cut comments and turn runs of white space into single blanks, none at the ends. */
static void tidy(char *line)
{
	char *out = line;

	for (char *c = line; *c; c++) {
		/* within a word it is a character like any other: names may have it */
		if (*c == '#' && (out == line || out[-1] == ' '))
			break;
		if (!isspace((unsigned char)*c))
			*out++ = *c;
		else if (out > line && out[-1] != ' ')
			*out++ = ' ';
	}
	if (out > line && out[-1] == ' ')
		out--;
	*out = '\0';
}

void policy_config(struct policy *p, const char *file, char *text)
{
	char where[128];
	char *line;

	for (int number = 1; (line = strsep(&text, "\n")); number++) {
		tidy(line);
		snprintf(where, sizeof(where), "%s:%d", file, number);
		if (*line)
			config_line(p, where, line);
	}
}

/* The whole of a small file, as a string; NULL if there is none. */
static char *read_text(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text;
	size_t n;

	if (!f)
		return NULL;
	text = malloc(MAX_TEXT);
	if (text) {
		n = fread(text, 1, MAX_TEXT - 1, f);
		text[n] = '\0';
	}
	fclose(f);
	return text;
}

static int is_conf(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return dot && !strcmp(dot, ".conf");
}

/* Append a file to @line, as words. Returns the new line; frees the old one if there is no memory. */
static char *append_file(char *line, const char *path)
{
	char *text = read_text(path), *more = NULL;

	if (!text)
		return line;
	if (asprintf(&more, "%s %s", line ? line : "", text) < 0)
		more = NULL;
	free(line);
	free(text);
	return more;
}

static char *append_folder(char *line, const char *folder)
{
	struct dirent **entries;
	int n = scandir(folder, &entries, is_conf, alphasort);
	char path[PATH_MAX];

	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
		line = append_file(line, path);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return line;
}

/*
 * The kernel command line. dracut takes files of its image, hostonly ones for instance, for the beginning of it,
 * and has users add to it in files below /run.
 */
static char *command_line(void)
{
	char *line = append_folder(NULL, "/etc/cmdline.d");

	line = append_file(line, "/etc/cmdline");
	line = append_file(line, "/proc/cmdline");
	return append_folder(line, "/run/initramfs/cmdline.d");
}

bool in_initramfs(void)
{
	/* systemd's mark, dracut's, which has the other not always, and initramfs-tools' */
	return !access("/etc/initrd-release", F_OK) || !access("/usr/lib/initrd-release", F_OK) ||
	       !access("/conf/initramfs.conf", F_OK);
}

/* The command line overrides the config, and before that says whether to read it at all. */
static bool config_wanted(const char *line)
{
	const char *option = "rd.dmremap.conf=";
	bool wanted = true;
	char value[8];

	for (line = strstr(line, option); line; line = strstr(line, option)) {
		line += strlen(option);
		if (sscanf(line, "%7s", value) == 1)
			parse_flag(value, &wanted);
	}
	return wanted;
}

void policy_read(struct policy *p, bool initramfs)
{
	char *line = initramfs ? command_line() : NULL;
	char *config = !line || config_wanted(line) ? read_text(POLICY_CONFIG) : NULL;

	policy_init(p);
	if (config)
		policy_config(p, POLICY_CONFIG, config);
	if (line)
		policy_command_line(p, line);
	free(config);
	free(line);
}

bool policy_auto(const struct policy *p)
{
	return p->auto_mode == AUTO_ON || (p->auto_mode == AUTO_DEFAULT && !p->set_count);
}

bool policy_mentions(const struct policy *p, const uuid_t uuid)
{
	return find_set(p, uuid);
}

const struct named_set *policy_find(const struct policy *p, const uuid_t uuid)
{
	const struct named_set *found = find_set(p, uuid);
	bool any_on_command_line = false;

	for (size_t i = 0; i < p->set_count; i++)
		any_on_command_line |= p->sets[i].on_command_line;
	if (found && any_on_command_line && !found->on_command_line && p->auto_mode != AUTO_ON)
		return NULL;
	return found;
}
