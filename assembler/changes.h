/* SPDX-License-Identifier: GPL-2.0-only */
/* What has happened to a set between two looks at its status, in words. Pure. */
#ifndef CHANGES_H
#define CHANGES_H

#include <stddef.h>

#include "active.h"

/* A set as somebody sees it who watches it. */
struct view {
	struct active_status status;
	/* paths of devices, "" if there is none or it is gone */
	char spare[256];
	char incoming[256]; /* is being filled to take its place */
	char refused[256]; /* was to take its place the last time, and did not */
	int refusal; /* why, a negative errno */
};

#define CHANGE_TEXT 1024

/* One thing that somebody who watches sets wants to know. */
struct change {
	/* "mode", "health", "copies", "repair", "moved", "pending", "unreadable", "spare", "migration" */
	const char *event;
	char sentence[CHANGE_TEXT];
};

#define CHANGES_MAX 9

/*
 * Fill @out, of CHANGES_MAX. Where @before is NULL nothing was known: what is wrong is news. Returns
 * how many there are.
 */
size_t changes_find(const struct view *before, const struct view *after, struct change *out);

#endif
