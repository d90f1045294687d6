// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>

#include "../tests-vm/guest/oracle.h"
#include "truth.h"

static uint32_t pages; /* of the journal, seen so far */

uint64_t random_next(uint64_t *state)
{
	return draw(state);
}

void truth_begin(uint64_t seed, uint64_t sectors, bool losses)
{
	opt.losses = losses;
	opt.seed = seed;
	opt.length = sectors * SECTOR;
	opt.after_cut = true;
	new_model();
}

struct label truth_label(const void *sector)
{
	const union sector *found = sector;
	struct label label = {.sector = found->says.sector};

	label.version = version_of(found, label.sector);
	return label;
}

void truth_journal(const void *data, uint64_t length)
{
	for (uint64_t at = 0; at + SECTOR <= length; at += SECTOR) {
		struct page page;

		memcpy(&page, (const char *)data + at, sizeof(page));
		if (!page_happens(&page, pages))
			errx(2, "the journal has a page that is not page %u", pages);
		pages++;
	}
}

bool truth_allows(uint32_t sector, struct label label)
{
	return (!label.version || label.sector == sector) &&
	       may_hold(sector, label.version, what_is_known(sector));
}

void truth_explain(const void *found, uint32_t sector)
{
	print_violation(found, sector, version_of(found, sector), what_is_known(sector));
}

/* A disk that has no more sectors for now may say so to whoever will not wait. */
static bool may_fail(const struct event *e)
{
	return e->flags & NOWAIT && (e->result == EAGAIN || e->result == EOPNOTSUPP);
}

bool truth_all_succeeded(void)
{
	bool all = true;

	for (uint32_t i = 1; i <= model.last; i++) {
		const struct operation *op = &model.operations[i];

		if (op->is.result <= 0 || may_fail(&op->is))
			continue;
		if (all)
			puts("failed, though main could be read and the spare was there for the "
			     "rest:");
		print_operation(op);
		all = false;
	}
	return all;
}

uint32_t truth_operations(void)
{
	return model.last;
}
