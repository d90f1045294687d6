// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "badlist.h"

#define SECTOR    512
#define BLANK     " \t\r\v\f"
#define MAX_WORDS 3

/* What a map may say ddrescue was doing: treating one type of areas, filling, generating. */
#define DOING BADLIST_TYPES "FG"

struct line {
	unsigned int number;
	char *word[MAX_WORDS];
	int words; /* MAX_WORDS + 1: too many */
};

static int __attribute__((format(printf, 3, 4)))
complain(struct badlist *l, const struct line *line, const char *format, ...)
{
	int n = snprintf(l->error, sizeof(l->error), "line %u ", line->number);
	va_list args;

	va_start(args, format);
	vsnprintf(l->error + n, sizeof(l->error) - n, format, args);
	va_end(args);
	return -EINVAL;
}

/* Take @text, without its comment, apart. */
static void split(struct line *line, char *text)
{
	char *rest = NULL, *word;

	line->words = 0;
	for (word = strtok_r(text, BLANK, &rest); word; word = strtok_r(NULL, BLANK, &rest)) {
		if (*word == '#')
			return;
		if (line->words == MAX_WORDS) {
			line->words++;
			return;
		}
		line->word[line->words++] = word;
	}
}

static bool number(const char *word, int base, uint64_t *value)
{
	char *end;

	/* strtoull() would take signs */
	if (!isdigit((unsigned char)*word))
		return false;
	errno = 0;
	*value = strtoull(word, &end, base);
	return !errno && !*end && *value <= INT64_MAX;
}

static bool one_of(const char *word, const char *letters)
{
	return word[0] && !word[1] && strchr(letters, word[0]);
}

/* A block number of badblocks. */
static int parse_block(struct badlist *l, const struct line *line, uint32_t block_bytes)
{
	uint64_t n, sectors = block_bytes / SECTOR;
	int err;

	if (line->words != 1 || !number(line->word[0], 10, &n))
		return complain(l, line, "is not a block number, as the lines before it are");
	if (n >= RANGES_END / sectors)
		return complain(l, line, "has a block number that no device reaches");
	err = ranges_add(&l->bad, n * sectors, sectors);
	if ((n + 1) * sectors > l->end)
		l->end = (n + 1) * sectors;
	return err;
}

/*
 * An area of a map: position, size, type. They have to come in order, or it is no map. What was
 * not tried proves nothing: where ddrescue does not know the size of its input, it writes such an
 * area of 2^63 bytes.
 */
static int parse_area(struct badlist *l, const struct line *line, const char *types, uint64_t *last)
{
	uint64_t start, size, end;
	bool bad;

	if (line->words != 3 || !number(line->word[0], 0, &start) ||
	    !number(line->word[1], 0, &size) || !one_of(line->word[2], BADLIST_TYPES))
		return complain(l, line, "is not an area of a ddrescue map: position, size, type");
	if (size > INT64_MAX - start)
		return complain(l, line, "has an area that ends where no device reaches");
	if (start < *last)
		return complain(l, line, "has an area that overlaps the one before it");
	*last = start + size;
	bad = strchr(types, *line->word[2]);
	end = (*last + SECTOR - 1) / SECTOR;
	if (bad || *line->word[2] != '?')
		l->end = end;
	return bad && size ? ranges_add(&l->bad, start / SECTOR, end - start / SECTOR) : 0;
}

/* The first line tells what this is. That of a map says what ddrescue was doing, and where. */
static int parse_first(struct badlist *l, const struct line *line)
{
	uint64_t n;

	if (line->words == 1 && number(line->word[0], 10, &n)) {
		l->kind = BADLIST_BLOCKS;
		return 0;
	}
	if ((line->words == 2 || line->words == 3) && number(line->word[0], 0, &n) &&
	    one_of(line->word[1], DOING) && (line->words == 2 || number(line->word[2], 10, &n))) {
		l->kind = BADLIST_MAP;
		return 0;
	}
	return complain(l, line,
			"is neither a block number, as badblocks writes it, nor the status line of "
			"a ddrescue map");
}

int badlist_parse(struct badlist *l, char *text, size_t size, const struct badlist_options *o)
{
	struct line line = {0};
	uint64_t last = 0;
	int err = 0;
	char *next;

	*l = (struct badlist){.kind = BADLIST_EMPTY};
	if (memchr(text, '\0', size)) {
		snprintf(l->error, sizeof(l->error), "it is not a text file");
		return -EINVAL;
	}
	while (!err && (next = strsep(&text, "\n"))) {
		line.number++;
		split(&line, next);
		if (!line.words)
			continue;
		if (l->kind == BADLIST_EMPTY) {
			err = parse_first(l, &line);
			if (err || l->kind == BADLIST_MAP)
				continue;
		}
		err = l->kind == BADLIST_MAP ? parse_area(l, &line, o->types, &last)
					     : parse_block(l, &line, o->block_bytes);
	}
	ranges_merge(&l->bad);
	return err;
}

void badlist_free(struct badlist *l)
{
	ranges_free(&l->bad);
}
