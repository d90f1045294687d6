/* SPDX-License-Identifier: GPL-2.0-only */
/* The activation log: what was decided since boot, an object for each decision. */
#ifndef JOURNAL_H
#define JOURNAL_H

#include <jansson.h>
#include <stdbool.h>

#include "act.h"

/* A decision and what came of it. */
json_t *journal_entry(const struct decision *d, const struct outcome *o);

/* The same as one sentence for people. */
void journal_sentence(const json_t *entry, char *text, size_t size);

/*
 * Append @entry, with the time, to the activation log, and @sentence to the kernel log; without @always
 * only if it doesn't repeat the last one on the same set and spare, as boot hooks ask again and again.
 * Failure is reported and otherwise ignored.
 */
void journal_write(json_t *entry, const char *sentence, bool always);

/* All entries, oldest first, as an array; what is no entry is left out, and said so. */
json_t *journal_read(void);

#endif
