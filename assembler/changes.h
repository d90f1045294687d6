/* SPDX-License-Identifier: GPL-2.0-only */
/* What has happened to a set between two looks at its status, in words. Pure. */
#ifndef CHANGES_H
#define CHANGES_H

#include <stddef.h>

#include "active.h"

/* One thing that somebody who watches sets wants to know. */
struct change {
	const char
		*event; /* "mode", "health", "copies", "repair", "moved", "pending", "unreadable" */
	char sentence[256];
};

#define CHANGES_MAX 7

/*
 * Fill @out, of CHANGES_MAX. Where @before is NULL nothing was known: what is wrong is news. Returns
 * how many there are.
 */
size_t changes_find(const struct active_status *before, const struct active_status *after,
		    struct change *out);

#endif
