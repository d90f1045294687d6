// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <string.h>

#include "evidence.h"

/*
 * The weights. What agrees adds up, to 100 at most; then what differs is taken off. A disk is
 * itself by its hardware ids: with the size they make 100. Without any, PARTUUID and size make 90, a
 * file system's UUID and size 70: a copy of the file system has that, too. An id that was recorded and now
 * is another one means a clone: whatever else agrees, 60. A PARTUUID or partition that differs rules
 * out the neighbour on the same disk. A new file system on the main is legitimate.
 */
static const struct weight {
	const char *name;
	int agrees, differs;
	bool hardware;
} weights[FACTS] = {
	[FACT_SIZE] = {"size", 20, 0, false},
	[FACT_WWID] = {"wwid", 80, -40, true},
	[FACT_SERIAL] = {"serial", 80, -40, true},
	[FACT_PARTUUID] = {"partuuid", 70, -60, false},
	[FACT_PARTITION] = {"partition", 30, -60, false},
	[FACT_FSUUID] = {"fsuuid", 50, -10, false},
};

#define SIZE_LARGER          10 /* the device has grown, or it is another one */
#define PARTITION_RENUMBERED -10 /* the partition differs, but its PARTUUID agrees */

static enum says compare_text(const char *recorded, const char *found)
{
	if (!*recorded || !*found)
		return SAYS_NOTHING;
	return strcmp(recorded, found) ? SAYS_NO : SAYS_YES;
}

/* A new partition table on a whole disk is legitimate, as a new file system is. */
static enum says compare_partition(const struct dmr_identity *id, const struct device *d)
{
	uint32_t number = le32_to_cpu(id->part_number);
	enum says table = compare_text(id->ptuuid, d->ptuuid);

	if (d->is_file)
		return SAYS_NOTHING;
	if (number != d->part_number)
		return SAYS_NO;
	return number || table == SAYS_YES ? table : SAYS_NOTHING;
}

static int points(const struct evidence *e, enum fact fact, bool for_agreement)
{
	if (for_agreement)
		return e->says[fact] == SAYS_YES      ? weights[fact].agrees
		       : e->says[fact] == SAYS_LARGER ? SIZE_LARGER
						      : 0;
	if (e->says[fact] != SAYS_NO)
		return 0;
	if (fact == FACT_PARTITION && e->says[FACT_PARTUUID] == SAYS_YES)
		return PARTITION_RENUMBERED;
	return weights[fact].differs;
}

void evidence_compare(const struct dmr_identity *id, uint64_t need, const struct device *d,
		      struct evidence *e)
{
	uint64_t sectors = le64_to_cpu(id->sectors);

	memset(e, 0, sizeof(*e));
	e->possible = d->sectors >= need;
	e->hardware_recorded = *id->wwid || *id->serial;
	e->says[FACT_SIZE] = !e->possible            ? SAYS_NO
			     : d->sectors == sectors ? SAYS_YES
						     : SAYS_LARGER;
	e->says[FACT_WWID] = compare_text(id->wwid, d->wwid);
	e->says[FACT_SERIAL] = compare_text(id->serial, d->serial);
	e->says[FACT_PARTUUID] = compare_text(id->partuuid, d->partuuid);
	e->says[FACT_PARTITION] = compare_partition(id, d);
	e->says[FACT_FSUUID] = compare_text(id->fsuuid, d->fsuuid);
	if (!e->possible)
		return;
	for (int fact = 0; fact < FACTS; fact++)
		e->confidence += points(e, fact, true);
	if (e->confidence > 100)
		e->confidence = 100;
	for (int fact = 0; fact < FACTS; fact++)
		e->confidence += points(e, fact, false);
	if (e->confidence < 0)
		e->confidence = 0;
}

void evidence_text(const struct evidence *e, enum fact fact, char *text, size_t size)
{
	static const char *const says[] = {
		[SAYS_NOTHING] = "is not known",
		[SAYS_YES] = "agrees",
		[SAYS_LARGER] = "is larger",
		[SAYS_NO] = "differs",
	};

	if (fact == FACT_SIZE && e->says[fact] == SAYS_NO)
		snprintf(text, size, "size is too small");
	else
		snprintf(text, size, "%s %s", weights[fact].name, says[e->says[fact]]);
}

bool evidence_strong(const struct evidence *e)
{
	bool hardware = false;

	for (int fact = 0; fact < FACTS; fact++) {
		if (e->says[fact] == SAYS_NO && fact != FACT_FSUUID)
			return false;
		hardware |= weights[fact].hardware && e->says[fact] == SAYS_YES;
	}
	return hardware;
}

bool evidence_cloned(const struct evidence *e)
{
	for (int fact = 0; fact < FACTS; fact++) {
		if (weights[fact].hardware && e->says[fact] == SAYS_NO)
			return true;
	}
	return false;
}

bool evidence_elsewhere(const struct evidence *e)
{
	for (int fact = 0; fact < FACTS; fact++) {
		if (weights[fact].hardware && e->says[fact] == SAYS_YES)
			return false;
	}
	return e->hardware_recorded;
}

bool evidence_recognises(const struct evidence *e)
{
	for (int fact = FACT_SIZE + 1; fact < FACTS; fact++) {
		if (e->says[fact] == SAYS_YES)
			return true;
	}
	return false;
}

bool evidence_neighbour(const struct evidence *e)
{
	return e->says[FACT_PARTUUID] == SAYS_NO ||
	       (e->says[FACT_PARTITION] == SAYS_NO && e->says[FACT_PARTUUID] != SAYS_YES);
}
