// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

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

int log_write(const char *path, int flags, const char *text)
{
	int fd = open(path, flags | O_WRONLY | O_CLOEXEC, 0644);
	size_t size = strlen(text);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, size) != (ssize_t)size)
		err = -EIO;
	close(fd);
	return err;
}

void log_kernel(const char *sentence)
{
	char line[1000]; /* the kernel takes no longer ones */

	snprintf(line, sizeof(line), "<5>dmremap: %s\n", sentence);
	log_write("/dev/kmsg", 0, line);
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
