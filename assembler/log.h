/* SPDX-License-Identifier: GPL-2.0-only */
/* Reasons on stderr, the kernel log at boot, and the activation log. */
#ifndef LOG_H
#define LOG_H

#include <jansson.h>
#include <stdbool.h>

#define DMREMAP_RUN_DIR "/run/dm-remap"

/* -1 quiet: errors only; 0: reasons too; 1: details too. */
extern int log_verbosity;

/* Each writes one line "dmremap: ..." to stderr. Text from outside goes through printable() first. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One line "dmremap: ..." to the kernel log, where a person looks for the reason when a boot stops. */
void log_kernel(const char *sentence);

/*
 * Append one object to the activation log; without @always, not if it only repeats the last
 * decision on the same set and spare, as boot hooks ask again and again. Returns true if it was
 * news. Failure is reported and otherwise ignored.
 */
bool log_activation(json_t *line, bool always);

/*
 * @text with control characters and what isn't ASCII as \xNN, for people to read. Valid until
 * the eighth call after this one; cut at 255 characters.
 */
const char *printable(const char *text);

/* @text as a JSON string; what isn't UTF-8 is escaped as by printable(); "" and NULL become null. */
json_t *json_text(const char *text);

/* Print @object, which is released, and a newline to stdout. */
void json_print(json_t *object);

#endif
