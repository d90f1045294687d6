/* SPDX-License-Identifier: GPL-2.0-only */
/* What examine, check and repair say about the copies of a spare. */
#ifndef REPORT_H
#define REPORT_H

#include <jansson.h>

#include "copies.h"
#include "device.h"

/* The object of the contract for examine and check. */
json_t *report_json(const struct copies *c, const struct device *d);

/* The same for people: the set, and each copy in a line. */
void report_print(const struct copies *c, const struct device *d);

/* One sentence on the state of the metadata, in @text. */
void report_sentence(const struct copies *c, const struct device *d, char *text, size_t size);

/* Name of the set: recorded, or made of @uuid. */
const char *report_name(const struct copies *c, char *text, size_t size);

/*
 * Open the spare @path and read its copies, complaining if that fails. Returns 0, EXIT_FAILED, or
 * EXIT_UNDONE if there is no metadata. The caller closes c->fd and frees @c in any case.
 */
int report_open(const char *path, bool write, struct device *d, struct copies *c);
void report_close(struct copies *c);

/* Exit status of check for a verdict. */
int report_exit(const struct copies *c);

#endif
