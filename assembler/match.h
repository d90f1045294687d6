/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Facts + metadata + policy -> decisions. Pure: no I/O, no clock, nothing global; every odd machine is a row in a test.
 */
#ifndef MATCH_H
#define MATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "active.h"
#include "copies.h"
#include "device.h"
#include "evidence.h"
#include "policy.h"

/* A spare with metadata, whole or not. */
struct found_spare {
	const struct device *device;
	uint8_t uuid[DMR_UUID_SIZE]; /* of the set; 0 if not even that is known */
	const struct dmr_super *super; /* NULL if none was elected */
	enum verdict verdict;
	enum dmr_fault reason;
	unsigned int valid_copies;
	char signature[32]; /* what stands where its first copy was, "" = nothing known */
};

struct match_input {
	const struct policy *policy;
	const struct device *devices; /* everything found, spares included */
	size_t device_count;
	const struct found_spare *spares;
	size_t spare_count;
	const struct active_set *active;
	size_t active_count;
	const char *const *wanted; /* names or UUIDs the user asked for */
	size_t wanted_count; /* 0: whatever the policy says */
};

enum decision_kind {
	DECIDE_ACTIVATE, /* finishing a migration first if .replaced */
	DECIDE_ACTIVE, /* it is already */
	DECIDE_SKIP, /* not wanted, or not now */
	DECIDE_CONFLICT, /* more than one device could be meant */
	DECIDE_MISSING, /* a member wasn't found */
	DECIDE_DAMAGED, /* metadata is lost */
};

struct decision {
	enum decision_kind kind;
	uint8_t uuid[DMR_UUID_SIZE];
	char name[DMR_NAME_SIZE]; /* for the DM device */
	bool named; /* by the user, the config or the command line */
	bool needed; /* named, and no other decision on the set fulfils that */
	const struct found_spare *spare; /* or NULL */
	const struct found_spare *replaced; /* by .spare, which is incoming; or NULL */
	const struct device *main; /* or NULL */
	struct evidence evidence; /* for main */
	bool strong; /* to be activated, and the hardware vouches for main and spare */
	char reason[512]; /* one sentence, printable */
};

/*
 * Decide on every spare found, and on every set that was named. The caller frees *@decisions.
 * Returns their number, or -ENOMEM.
 */
int match_decide(const struct match_input *in, struct decision **decisions);

/* Decide so on @d, and say why. */
void decision_make(struct decision *d, enum decision_kind kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* "activate", "active", ... */
const char *decision_text(enum decision_kind kind);

#endif
