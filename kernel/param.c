// SPDX-License-Identifier: GPL-2.0-only
/*
 * The numbers that an administrator may choose, by the table or by the message "set".
 */
#include <linux/log2.h>

#include "target.h"

static const char *const names[DMR_PARAMS] = {
	[DMR_LOW_WATER] = "low_water",
	[DMR_GIVE_UP] = "give_up",
	[DMR_BUDGET] = "budget",
};

#define GIVE_UP_BLOCKS 4096 /* a bad zone of 2 MiB that is written in one go */
#define BUDGET_SECTORS 65536 /* 32 MiB a minute is no bad sector any more */

void dmr_params_default(struct dmr_target *t)
{
	const u64 eighth = dmr_data_sectors(&t->store.layout) / 8;

	t->param[DMR_LOW_WATER] = eighth;
	t->param[DMR_GIVE_UP] = clamp_t(u64, eighth >> ilog2(t->unit), 1, GIVE_UP_BLOCKS);
	t->param[DMR_BUDGET] = BUDGET_SECTORS;
}

int dmr_param_set(struct dmr_target *t, const char *name, const char *value)
{
	int p = match_string(names, DMR_PARAMS, name);
	u64 number;

	if (p < 0 || kstrtou64(value, 10, &number))
		return -EINVAL;
	WRITE_ONCE(t->param[p], number);
	set_bit(p, &t->chosen);
	return 0;
}

const char *dmr_param_name(enum dmr_param p)
{
	return names[p];
}
