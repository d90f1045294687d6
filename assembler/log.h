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

/* Write @text to a file, in one piece, opened with @flags besides. Returns 0 or a negative errno. */
int log_write(const char *path, int flags, const char *text);

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
