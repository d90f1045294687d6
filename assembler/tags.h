/* SPDX-License-Identifier: GPL-2.0-only */
/* How the config says which device a member of a set is. */
#ifndef TAGS_H
#define TAGS_H

#include <stdbool.h>
#include <stddef.h>

#include "device.h"

#define MAX_TAGS  8
#define TAGS_TEXT 1024 /* holds what tags_write() writes */

/* All of the tags of a member have to hold. */
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

/*
 * Add "TAG,TAG,...", which is changed, to @tags. If any of them is not understood there are none then: the
 * others alone could mean another device. In wwid and serial \xNN is a character, for those that
 * would end the word.
 */
bool tags_parse(struct tags *tags, char *text);

/*
 * True if all of the tags hold for @d; false if there are none. A disk's wwid and serial are those
 * of its partitions, too: without partuuid or path they mean the whole disk.
 */
bool tags_match(const struct tags *tags, const struct device *d);

/* True if they say by its hardware which disk is meant. */
bool tags_tell_clones(const struct tags *tags);

/* True if there are any, and they hold for a device from its first event on, when there are no links yet that a path could be. */
bool tags_hold_at_once(const struct tags *tags);

/* Tags that hold for @d, whose partuuid is known: by its hardware and its partition, or else by its path. */
void tags_write(const struct device *d, char *text, size_t size);

#endif
