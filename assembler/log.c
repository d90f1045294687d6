// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define ACTIVATION_LOG DMREMAP_RUN_DIR "/activation.jsonl"

int log_verbosity;

static void __attribute__((format(printf, 1, 0))) log_line(const char *format, va_list args)
{
	char line[2048];
	int n;

	/* one write, so that lines of concurrent udev workers don't mix */
	n = snprintf(line, sizeof(line), "dmremap: ");
	vsnprintf(line + n, sizeof(line) - n - 1, format, args);
	strcat(line, "\n");
	fputs(line, stderr);
}

#define DEFINE_LOG(name, verbosity)              \
	void name(const char *format, ...)       \
	{                                        \
		va_list args;                    \
                                                 \
		if (log_verbosity < (verbosity)) \
			return;                  \
		va_start(args, format);          \
		log_line(format, args);          \
		va_end(args);                    \
	}

DEFINE_LOG(log_error, -1)
DEFINE_LOG(log_info, 0)
DEFINE_LOG(log_debug, 1)

static int write_line(const char *path, int flags, const char *line)
{
	int fd = open(path, flags | O_WRONLY | O_CLOEXEC, 0644);
	size_t size = strlen(line);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, line, size) != (ssize_t)size)
		err = -EIO;
	close(fd);
	return err;
}

void log_kernel(const char *sentence)
{
	char line[1000]; /* the kernel takes no longer ones */

	snprintf(line, sizeof(line), "<5>dmremap: %s\n", sentence);
	write_line("/dev/kmsg", 0, line);
}

static bool same_value(json_t *a, json_t *b, const char *key)
{
	return json_equal(json_object_get(a, key), json_object_get(b, key));
}

/* True if the last object about the set and spare of @object says the same as it. */
static bool is_repeated(json_t *object)
{
	FILE *f = fopen(ACTIVATION_LOG, "re");
	bool repeated = false;
	size_t size = 0;
	char *line = NULL;

	if (!f)
		return false;
	while (getline(&line, &size, f) > 0) {
		json_t *old = json_loads(line, 0, NULL);

		if (old && same_value(old, object, "uuid") && same_value(old, object, "spare"))
			repeated = same_value(old, object, "decision") &&
				   same_value(old, object, "reason");
		json_decref(old);
	}
	free(line);
	fclose(f);
	return repeated;
}

bool log_activation(json_t *object, bool always)
{
	char *text = NULL, *line = NULL;
	int err = -ENOMEM;

	if (!always && is_repeated(object))
		return false;
	text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9));
	if (text && asprintf(&line, "%s\n", text) > 0) {
		mkdir(DMREMAP_RUN_DIR, 0755);
		err = write_line(ACTIVATION_LOG, O_CREAT | O_APPEND, line);
		free(line);
	}
	free(text);
	if (err)
		log_info("cannot write " ACTIVATION_LOG ": %s", strerror(-err));
	return true;
}

const char *printable(const char *text)
{
	static char buffer[8][256];
	static unsigned int turn;
	char *out = buffer[turn++ % 8];
	size_t n = 0;

	for (; *text && n < sizeof(buffer[0]) - 5; text++) {
		if (*text >= ' ' && *text < 127 && *text != '\\')
			out[n++] = *text;
		else
			n += sprintf(out + n, "\\x%02x", (unsigned char)*text);
	}
	out[n] = '\0';
	return out;
}

json_t *json_text(const char *text)
{
	json_t *string;

	if (!text || !*text)
		return json_null();
	string = json_string(text);
	return string ? string : json_string(printable(text));
}

void json_print(json_t *object)
{
	json_dumpf(object, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(object);
}
