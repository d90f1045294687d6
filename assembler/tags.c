// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tags.h"

static const char *const kinds[] = {
	[TAG_WWID] = "wwid:",
	[TAG_SERIAL] = "serial:",
	[TAG_PARTUUID] = "partuuid:",
	[TAG_PATH] = "path:",
};

static bool unescape(char *to, size_t size, const char *from)
{
	for (const char *end = to + size - 1; *from; from++, to++) {
		if (to == end)
			return false;
		if (*from != '\\') {
			*to = *from;
			continue;
		}
		if (from[1] != 'x' || !isxdigit((unsigned char)from[2]) ||
		    !isxdigit((unsigned char)from[3]))
			return false;
		*to = strtoul((char[]){from[2], from[3], '\0'}, NULL, 16);
		if (!*to)
			return false;
		from += 3;
	}
	*to = '\0';
	return true;
}

static bool parse_tag(struct tag *tag, const char *text)
{
	struct stat st;

	for (int kind = TAG_WWID; kind <= TAG_PATH; kind++) {
		size_t n = strlen(kinds[kind]);

		if (strncmp(text, kinds[kind], n) || !text[n])
			continue;
		tag->kind = kind;
		tag->dev = 0;
		if (kind == TAG_WWID || kind == TAG_SERIAL)
			return unescape(tag->value, sizeof(tag->value), text + n);
		if (strlen(text + n) >= sizeof(tag->value))
			return false;
		strcpy(tag->value, text + n);
		if (kind == TAG_PATH && !stat(tag->value, &st) && S_ISBLK(st.st_mode))
			tag->dev = st.st_rdev;
		return true;
	}
	return false;
}

bool tags_parse(struct tags *tags, char *text)
{
	char *word;

	while ((word = strsep(&text, ","))) {
		if (tags->count == MAX_TAGS || !parse_tag(&tags->tag[tags->count], word)) {
			tags->count = 0;
			return false;
		}
		tags->count++;
	}
	return true;
}

static bool tag_matches(const struct tag *tag, const struct device *d)
{
	switch (tag->kind) {
	case TAG_WWID:
		return !strcmp(tag->value, d->wwid);
	case TAG_SERIAL:
		return !strcmp(tag->value, d->serial);
	case TAG_PARTUUID:
		return !strcasecmp(tag->value, d->partuuid);
	case TAG_PATH:
		return !strcmp(tag->value, d->path) ||
		       (tag->dev && !d->is_file && tag->dev == d->dev);
	}
	return false;
}

bool tags_tell_clones(const struct tags *tags)
{
	for (unsigned int i = 0; i < tags->count; i++) {
		if (tags->tag[i].kind == TAG_WWID || tags->tag[i].kind == TAG_SERIAL)
			return true;
	}
	return false;
}

bool tags_match(const struct tags *tags, const struct device *d)
{
	bool exact = false;

	for (unsigned int i = 0; i < tags->count; i++) {
		if (!tag_matches(&tags->tag[i], d))
			return false;
		exact |= tags->tag[i].kind == TAG_PARTUUID || tags->tag[i].kind == TAG_PATH;
	}
	return tags->count && (exact || !d->part_number);
}

bool tags_hold_at_once(const struct tags *tags)
{
	for (unsigned int i = 0; i < tags->count; i++) {
		if (tags->tag[i].kind == TAG_PATH)
			return false;
	}
	return tags->count;
}

/* Returns the end of @text then, of which @room bytes are left. */
static char *add_tag(char *text, char *end, bool first, enum tag_kind kind, const char *value)
{
	text += snprintf(text, end - text, "%s%s", first ? "" : ",", kinds[kind]);
	for (; *value && end - text > 5; value++) {
		if (*value > ' ' && *value < 127 && *value != ',' && *value != '\\')
			*text++ = *value;
		else
			text += sprintf(text, "\\x%02x", (unsigned char)*value);
	}
	*text = '\0';
	return text;
}

void tags_write(const struct device *d, char *text, size_t size)
{
	const char *start = text;
	char *end = text + size;

	if (*d->wwid)
		text = add_tag(text, end, true, TAG_WWID, d->wwid);
	else if (*d->serial)
		text = add_tag(text, end, true, TAG_SERIAL, d->serial);
	if (*d->partuuid)
		text = add_tag(text, end, text == start, TAG_PARTUUID, d->partuuid);
	/* what is left of a partition without a PARTUUID would be its whole disk */
	if (text == start || (d->part_number && !*d->partuuid))
		add_tag(text, end, text == start, TAG_PATH, d->path);
}
