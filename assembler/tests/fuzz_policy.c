// SPDX-License-Identifier: GPL-2.0-only
/* A config and a kernel command line, with a NUL between them. Whatever they say, the policy makes sense. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "policy.h"

static void check(const struct policy *p)
{
	assert(p->threshold <= 100 && p->timeout <= 86400 && p->scrub_interval <= 365 * 86400);
	for (size_t i = 0; i < p->set_count; i++) {
		const struct named_set *s = &p->sets[i];

		assert(!*s->name || dmr_name_valid(s->name));
		assert(s->main.count <= MAX_TAGS && s->spare.count <= MAX_TAGS);
		assert(s->in_config || s->on_command_line);
		for (size_t k = 0; k < i; k++)
			assert(uuid_compare(s->uuid, p->sets[k].uuid));
		assert(policy_find(p, s->uuid) == s || !policy_find(p, s->uuid));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 2);
	struct policy p;

	log_verbosity = -2; /* not even errors */
	memcpy(text, data, size);
	text[size] = text[size + 1] = '\0';
	policy_init(&p);
	policy_config(&p, "config", text);
	/* which has cut its own part of the text, but nothing behind it */
	policy_command_line(&p, text + strnlen((const char *)data, size) + 1);
	check(&p);
	policy_free(&p);
	free(text);
	return 0;
}
