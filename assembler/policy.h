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
#include <sys/types.h>
#include <uuid/uuid.h>

#include "device.h"

#define POLICY_CONFIG "/etc/dm-remap.conf"
#define MAX_TAGS      8

/* What a line of the config says of a member: all of its tags have to hold. */
struct tag {
	enum tag_kind {
		TAG_WWID,
		TAG_SERIAL,
		TAG_PARTUUID,
		TAG_PATH,
	} kind;
	char value[128];
	dev_t dev; /* TAG_PATH: where it leads to now; 0 = nowhere */
};

struct tags {
	struct tag tag[MAX_TAGS];
	unsigned int count;
};

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

/* The set if it was named and is wanted: a command line with sets leaves the config's to the auto mode. */
const struct named_set *policy_find(const struct policy *p, const uuid_t uuid);

/*
 * True if all of the tags hold for @d; false if there are none. A disk's wwid and serial are those
 * of its partitions, too: without partuuid or path they mean the whole disk.
 */
bool tags_match(const struct tags *tags, const struct device *d);

/* True if this system is an initramfs. */
bool in_initramfs(void);

#endif
