// SPDX-License-Identifier: GPL-2.0-only
#ifdef __KERNEL__
#include <linux/string.h>
#else
#include <string.h>
#endif

#include "vote.h"

static bool same_set(const struct dmr_super *a, const struct dmr_super *b)
{
	return !memcmp(a->header.uuid, b->header.uuid, DMR_UUID_SIZE);
}

/* The set most superblocks speak of, through any one of them; -1 if two tie or none is valid. */
static int elect_set(const struct dmr_super *const s[DMR_COPIES],
		     const enum dmr_fault fault[DMR_COPIES])
{
	unsigned int best_votes = 0;
	int best = -1;
	int i, j;

	for (i = 0; i < DMR_COPIES; i++) {
		unsigned int votes = 0;

		if (fault[i] != DMR_OK)
			continue;
		for (j = 0; j < DMR_COPIES; j++)
			votes += fault[j] == DMR_OK && same_set(s[i], s[j]);
		if (votes > best_votes) {
			best_votes = votes;
			best = i;
		} else if (votes == best_votes && !same_set(s[i], s[best < 0 ? i : best])) {
			best = -1;
		}
	}
	return best;
}

/* True if @a's word stands against @b's, though both have the same generation. */
static bool disowns(const struct dmr_super *a, unsigned int copy_a, const struct dmr_super *b,
		    unsigned int copy_b)
{
	return le32_to_cpu(a->failed_copies) & 1u << copy_b &&
	       !(le32_to_cpu(b->failed_copies) & 1u << copy_a);
}

/* One of the newest that none of the others of the newest disowns. */
static bool stands(const struct dmr_super *const s[DMR_COPIES],
		   const enum dmr_fault fault[DMR_COPIES], int copy)
{
	int i;

	for (i = 0; i < DMR_COPIES; i++)
		if (fault[i] == DMR_OK && s[i]->header.generation == s[copy]->header.generation &&
		    disowns(s[i], i, s[copy], copy))
			return false;
	return true;
}

static int elect_newest(const struct dmr_super *const s[DMR_COPIES],
			enum dmr_fault fault[DMR_COPIES])
{
	bool standing[DMR_COPIES] = {};
	__u64 top = 0;
	bool split = false;
	int best = -1;
	int i;

	for (i = 0; i < DMR_COPIES; i++)
		if (fault[i] == DMR_OK && le64_to_cpu(s[i]->header.generation) > top)
			top = le64_to_cpu(s[i]->header.generation);
	for (i = 0; i < DMR_COPIES; i++) {
		standing[i] = fault[i] == DMR_OK && le64_to_cpu(s[i]->header.generation) == top &&
			      stands(s, fault, i);
		if (standing[i] && best < 0)
			best = i;
		split |= standing[i] && s[i]->checksum != s[best]->checksum;
	}
	for (i = 0; i < DMR_COPIES; i++)
		if (fault[i] == DMR_OK && (best < 0 || s[i]->checksum != s[best]->checksum))
			fault[i] = standing[i] ? DMR_SPLIT : DMR_STALE;
	return split ? -1 : best;
}

int dmr_super_elect(const struct dmr_super *const s[DMR_COPIES], enum dmr_fault fault[DMR_COPIES],
		    const __u8 *uuid)
{
	int speaker, i;

	if (!uuid) {
		speaker = elect_set(s, fault);
		if (speaker >= 0)
			uuid = s[speaker]->header.uuid;
	}
	for (i = 0; i < DMR_COPIES; i++)
		if (fault[i] == DMR_OK && (!uuid || memcmp(s[i]->header.uuid, uuid, DMR_UUID_SIZE)))
			fault[i] = DMR_BAD_UUID;
	return elect_newest(s, fault);
}

void dmr_vote_init(struct dmr_vote *v)
{
	memset(v, 0, sizeof(*v));
}

/* Also one that does not count, with the very bytes of the winner, needs no mending. */
static __u8 holders(const struct dmr_vote *v)
{
	__u8 holders = 0;
	int i;

	for (i = 0; i < DMR_COPIES; i++)
		if (v->valid & 1u << i && v->instance[i].generation == v->generation &&
		    v->instance[i].checksum == v->checksum)
			holders |= 1u << i;
	return holders;
}

bool dmr_vote_add(struct dmr_vote *v, const struct dmr_super *s, unsigned int copy,
		  const struct dmr_table *t)
{
	bool trusted = !(le32_to_cpu(s->failed_copies) & 1u << copy);
	__u64 generation = le64_to_cpu(t->header.generation);
	__u64 sum = le64_to_cpu(t->checksum);
	bool level = v->valid && trusted == v->trusted && generation == v->generation;
	bool best = !v->valid || trusted > v->trusted ||
		    (trusted == v->trusted && generation > v->generation);

	v->valid |= 1u << copy;
	v->instance[copy].generation = generation;
	v->instance[copy].checksum = sum;
	if (level && sum != v->checksum)
		v->split = true;
	if (best) {
		v->generation = generation;
		v->previous = le64_to_cpu(t->header.previous);
		v->checksum = sum;
		v->trusted = trusted;
		v->split = false;
	}
	v->holders = holders(v);
	return best;
}

void dmr_tally_init(struct dmr_tally *t, const struct dmr_super *s)
{
	memset(t, 0, sizeof(*t));
	t->newest = le64_to_cpu(s->header.generation);
}

void dmr_tally_add(struct dmr_tally *t, const struct dmr_super *s, __u32 index,
		   const struct dmr_vote *v)
{
	bool newer = v->generation > le64_to_cpu(s->header.generation);

	if (!v->valid)
		t->fault = DMR_LOST;
	else if (v->split && t->fault == DMR_OK)
		t->fault = DMR_SPLIT;
	t->tail |= newer;
	t->committed += dmr_digest(index, newer ? v->previous : v->generation);
	t->adopted += dmr_digest(index, v->generation);
	if (v->generation > t->newest)
		t->newest = v->generation;
}

void dmr_tally_behind(struct dmr_tally *t, const struct dmr_super *s, const struct dmr_table *b)
{
	if (dmr_table_check(b, s, le32_to_cpu(s->table_blocks) + 1) == DMR_OK && b->header.count &&
	    le64_to_cpu(b->header.generation) > le64_to_cpu(s->header.generation))
		t->fault = DMR_LOST;
}

enum dmr_fault dmr_tally_verdict(const struct dmr_tally *t, const struct dmr_super *s)
{
	if (t->fault != DMR_OK)
		return t->fault;
	return t->committed == le64_to_cpu(s->digest) ? DMR_OK : DMR_LOST;
}

unsigned int dmr_mend_next(unsigned int left, unsigned int whole)
{
	unsigned int i, count = 0;

	for (i = 0; i < DMR_COPIES; i++)
		count += whole >> i & 1;
	return count < DMR_SAFE_COPIES ? left & -left : left;
}
