/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the administrator wants: /etc/dm-remap.conf and the kernel command line in one structure.
 * A typo is reported by name and the default is used; it never stops a boot.
 */
#ifndef POLICY_H
#define POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uuid/uuid.h>

#include "tags.h"

#define POLICY_CONFIG "/etc/dm-remap.conf"

/* A set that somebody named. */
struct named_set {
	uuid_t uuid;
	char name[DMR_NAME_SIZE]; /* or empty */
	struct tags main, spare; /* none, if it was named on the command line only */
	bool in_config;
	bool on_command_line;
};

enum auto_mode {
	AUTO_DEFAULT, /* on unless a set is named */
	AUTO_OFF,
	AUTO_ON,
};

struct policy {
	bool enabled; /* rd.dmremap */
	enum auto_mode auto_mode;
	unsigned int threshold; /* 0-100 */
	bool repair;
	bool read_only;
	bool dry_run;
	bool use_config;
	bool allow_raw;
	bool no_clones; /* what is on other hardware than was recorded is no member, though named */
	bool debug;
	unsigned int timeout; /* seconds to wait for a missing member */
	unsigned int scrub_interval; /* seconds, 0 = off */
	struct named_set *sets;
	size_t set_count;
};

/* The defaults, without any set. */
void policy_init(struct policy *p);

/*
 * Read the kernel command line and the config, in the order that they override each other. In an
 * initramfs only does the command line count.
 */
void policy_read(struct policy *p, bool initramfs);

/* The pieces of policy_read(), for text from anywhere; both change the text. @file names it in reports. */
void policy_command_line(struct policy *p, char *line);
void policy_config(struct policy *p, const char *file, char *text);

void policy_free(struct policy *p);

/* True if sets that nobody named may be activated. */
bool policy_auto(const struct policy *p);

/* True if @uuid stands in the config or on the command line, also if other sets have been preferred to it. */
bool policy_mentions(const struct policy *p, const uuid_t uuid);

/* The set if it was named and is wanted: a command line with sets leaves the config's to the auto mode. */
const struct named_set *policy_find(const struct policy *p, const uuid_t uuid);

/* True if this system is an initramfs. */
bool in_initramfs(void);

#endif
