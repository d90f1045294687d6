// SPDX-License-Identifier: GPL-2.0-only
/*
 * The numbers that an administrator may choose, by the table or by the message "set".
 */
#include <linux/log2.h>

#include "target.h"

static const struct {
	const char *name;
	u64 min;
	u64 max;
} params[DMR_PARAMS] = {
	[DMR_LOW_WATER] = { "low_water", 0, U64_MAX },
	[DMR_GIVE_UP] = { "give_up", 0, U64_MAX },
	[DMR_BUDGET] = { "budget", 0, U64_MAX },
	[DMR_SCRUB_INTERVAL] = { "scrub_interval", 0, S32_MAX },
	[DMR_REPAIR_INTERVAL] = { "repair_interval", 1, S32_MAX },
};

#define GIVE_UP_BLOCKS 4096 /* a bad zone of 2 MiB that is written in one go */
#define BUDGET_SECTORS 65536 /* 32 MiB a minute is no bad sector any more */
#define HOUR           3600 /* seconds */

static void adapt(struct dmr_target *t, enum dmr_param p, u64 value)
{
	if (!test_bit(p, &t->chosen))
		WRITE_ONCE(t->param[p], value);
}

void dmr_params_adapt(struct dmr_target *t)
{
	const u64 eighth = dmr_data_sectors(&t->spare->store.layout) / 8;

	adapt(t, DMR_LOW_WATER, eighth);
	adapt(t, DMR_GIVE_UP, clamp_t(u64, eighth >> ilog2(t->unit), 1, GIVE_UP_BLOCKS));
}

void dmr_params_default(struct dmr_target *t)
{
	dmr_params_adapt(t);
	t->param[DMR_BUDGET] = BUDGET_SECTORS;
	t->param[DMR_SCRUB_INTERVAL] = HOUR;
	t->param[DMR_REPAIR_INTERVAL] = HOUR;
}

int dmr_param_set(struct dmr_target *t, const char *name, const char *value)
{
	unsigned int p;
	u64 number;

	for (p = 0; p < DMR_PARAMS && strcmp(name, params[p].name); p++)
		;
	if (p == DMR_PARAMS || kstrtou64(value, 10, &number) || number < params[p].min ||
	    number > params[p].max)
		return -EINVAL;
	WRITE_ONCE(t->param[p], number);
	set_bit(p, &t->chosen);
	/* Those that go by it look again; before the first resume there is nobody. */
	dmr_mover_kick(t);
	dmr_scrub_kick(t);
	return 0;
}

const char *dmr_param_name(enum dmr_param p)
{
	return params[p].name;
}
