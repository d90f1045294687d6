/* SPDX-License-Identifier: GPL-2.0-only */
/* What examine, check and repair say about the copies of a spare. */
#ifndef REPORT_H
#define REPORT_H

#include "copies.h"
#include "device.h"

/*
 * All that examine and check do: open the spare named, and show what is there by @print or as the
 * object of the contract. Returns an exit status, of damage that could be mended EXIT_MENDED.
 */
int report_show(int argc, char **argv, const char *usage,
		void (*print)(const struct copies *c, const struct device *d));

/* For people: the set, and each copy in a line. */
void report_print(const struct copies *c, const struct device *d);

/* One sentence on the state of the metadata, in @text. */
void report_sentence(const struct copies *c, const struct device *d, char *text, size_t size);

/*
 * Open the spare @path and read its copies, complaining if that fails. Returns 0, EXIT_FAILED, or
 * EXIT_UNDONE if there is no metadata. The caller closes c->fd and frees @c in any case.
 */
int report_open(const char *path, bool write, struct device *d, struct copies *c);
void report_close(struct copies *c);

#endif
