// SPDX-License-Identifier: GPL-2.0-only
/*
 * A spare device, as long as a set has it open.
 */
#include <linux/blkdev.h>
#include <linux/slab.h>

#include "target.h"

int dmr_spare_open(struct dmr_target *t, const char *path, struct dmr_spare **result)
{
	struct dmr_spare *s = kzalloc(sizeof(*s), GFP_KERNEL);
	int r;

	if (!s)
		return -ENOMEM;
	r = dm_get_device(t->ti, path, dm_table_get_mode(t->ti->table), &s->dev);
	if (r) {
		kfree(s);
		return r;
	}
	*result = s;
	return 0;
}

int dmr_spare_init(struct dmr_target *t, struct dmr_spare *s)
{
	int r = dmr_store_init(&s->store, s->dev->bdev, &t->flush.all, dmr_flush_shares(t, s));

	return r ? r : dmr_extents_init(&s->extents, t->ti->len);
}

void dmr_spare_close(struct dmr_target *t, struct dmr_spare *s)
{
	dmr_extents_exit(&s->extents);
	if (s->store.bdev)
		dmr_store_exit(&s->store);
	dm_put_device(t->ti, s->dev);
	kfree(s);
}

char *dmr_spare_refuse(struct dmr_target *t, struct block_device *spare)
{
	struct block_device *main = t->main->bdev;

	if (dmr_overlap(main, spare))
		return "Main and spare overlap";
	if (bdev_logical_block_size(spare) > bdev_logical_block_size(main))
		return "Spare's logical block is larger than main's";
	if (bdev_is_zoned(spare))
		return DMR_ZONED;
	if (bdev_nr_sectors(spare) < DMR_MIN_SECTORS)
		return "Spare device is too small";
	return NULL;
}
