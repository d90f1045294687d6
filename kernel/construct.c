// SPDX-License-Identifier: GPL-2.0-only
/*
 * A target is made of its table line: its devices and options are checked, nothing is written.
 */
#include <linux/blkdev.h>
#include <linux/slab.h>
#include <linux/uuid.h>

#include "target.h"

/* Bios kept back for what is sent again, so that it gets on when memory is short. */
#define RESERVED_BIOS 16

static int get_devices(struct dmr_target *t, char **argv)
{
	struct dm_target *ti = t->ti;
	int r;

	r = dm_get_device(ti, argv[0], dm_table_get_mode(ti->table), &t->main);
	if (r) {
		ti->error = "Cannot open main device";
		return r;
	}
	r = dmr_spare_open(t, argv[1], &t->spare);
	if (r)
		ti->error = "Cannot open spare device";
	return r;
}

static int check_main(struct dmr_target *t)
{
	struct block_device *main = t->main->bdev;
	struct dm_target *ti = t->ti;

	if (bdev_nr_sectors(main) < ti->len)
		ti->error = "Main device is smaller than the table";
	else if (ti->len > DMR_MAX_SECTORS)
		ti->error = "Length is more than a set can have";
	else if (ti->len & (t->unit - 1))
		ti->error = "Length is not a multiple of main's logical block";
	else if (bdev_logical_block_size(main) > DMR_BLOCK_SIZE)
		ti->error = "Main's logical block is larger than 4096 bytes";
	else if (bdev_is_zoned(main))
		ti->error = DMR_ZONED;
	else
		return 0;
	return -EINVAL;
}

static int check_devices(struct dmr_target *t)
{
	int r = check_main(t);

	if (r)
		return r;
	t->ti->error = dmr_spare_refuse(t, t->spare->dev->bdev);
	return t->ti->error ? -EINVAL : 0;
}

static int parse_pair(struct dmr_target *t, const char *name, const char *value)
{
	uuid_t uuid;

	if (strcmp(name, "uuid"))
		return dmr_param_set(t, name, value);
	if (uuid_parse(value, &uuid))
		return -EINVAL;
	export_uuid(t->uuid, &uuid);
	t->has_uuid = true;
	return 0;
}

static int parse_options(struct dmr_target *t, unsigned int argc, char **argv)
{
	struct dm_target *ti = t->ti;
	unsigned int count;
	char end;

	if (!argc)
		return 0;
	if (sscanf(argv[0], "%u%c", &count, &end) != 1 || count != argc - 1)
		goto invalid;
	for (argv++; count; argv++, count--) {
		if (!strcmp(*argv, "no_repair")) {
			t->no_repair = true;
			continue;
		}
		if (count < 2 || parse_pair(t, argv[0], argv[1]))
			goto invalid;
		argv++;
		count--;
	}
	return 0;

invalid:
	ti->error =
		"Invalid optional arguments: uuid <uuid>, no_repair, or a parameter and a number";
	return -EINVAL;
}

int dmr_identify(struct dmr_target *t, struct dmr_store *s, const u8 *uuid)
{
	int r = dmr_store_identify(s, uuid);

	if (r)
		return r;
	switch (le32_to_cpu(s->super->state)) {
	case DMR_STATE_SUPERSEDED:
		DMERR("%pg: another spare took this one's place", s->bdev);
		return -EINVAL;
	case DMR_STATE_INCOMING:
		DMERR("%pg: was being filled: the set is on another spare", s->bdev);
		return -EINVAL;
	}
	if (le64_to_cpu(s->super->length) != t->ti->len) {
		DMERR("%pg: the set has %llu sectors, the table %llu", s->bdev,
		      le64_to_cpu(s->super->length), (unsigned long long)t->ti->len);
		return -EINVAL;
	}
	if (le32_to_cpu(s->super->main_block) != t->unit * DMR_SECTOR_SIZE) {
		DMERR("%pg: the set is for a main with blocks of %u bytes", s->bdev,
		      le32_to_cpu(s->super->main_block));
		return -EINVAL;
	}
	return 0;
}

/* Only the identity is looked at: the table may still be changing under another mapping. */
static int check_identity(struct dmr_target *t)
{
	int r = dmr_identify(t, &t->spare->store, dmr_wanted(t));

	if (r >= 0)
		return 0;
	t->ti->error = "Spare holds no set that can be used with this main";
	return r;
}

static void target_free(struct dmr_target *t)
{
	dmr_scrub_exit(t);
	dmr_reader_exit(t);
	dmr_flush_exit(t);
	dmr_mover_exit(t);
	dmr_holds_exit(t);
	bioset_exit(&t->bios);
	dmr_migrate_exit(t);
	if (t->spare)
		dmr_spare_close(t, t->spare);
	if (t->main)
		dm_put_device(t->ti, t->main);
	kfree(t);
}

/* -ENOMEM. */
static int init_parts(struct dmr_target *t)
{
	int r;

	dmr_guard_init(t);
	r = bioset_init(&t->bios, RESERVED_BIOS, 0, BIOSET_NEED_BVECS);
	if (!r)
		r = dmr_holds_init(t);
	if (!r)
		r = dmr_mover_init(t);
	if (!r)
		r = dmr_flush_init(t);
	if (!r)
		r = dmr_reader_init(t);
	if (!r)
		r = dmr_scrub_init(t);
	if (!r)
		r = dmr_migrate_init(t);
	return r;
}

static int target_init(struct dmr_target *t, unsigned int argc, char **argv)
{
	struct dm_target *ti = t->ti;
	int r;

	r = get_devices(t, argv);
	if (r)
		return r;
	t->unit = bdev_logical_block_size(t->main->bdev) / DMR_SECTOR_SIZE;
	r = check_devices(t);
	if (r)
		return r;

	ti->error = "Cannot allocate memory";
	r = dmr_spare_init(t, t->spare);
	if (r)
		return r;
	dmr_params_default(t);
	r = init_parts(t);
	if (r)
		return r;

	r = parse_options(t, argc - 2, argv + 2);
	if (!r)
		r = check_identity(t);
	return r;
}

int dmr_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct dmr_target *t;
	int r;

	if (argc < 2) {
		ti->error = "Invalid argument count: <main> <spare> [<#args> <arg>...]";
		return -EINVAL;
	}
	if (ti->begin) {
		ti->error = "Must start at sector 0";
		return -EINVAL;
	}
	t = kzalloc(sizeof(*t), GFP_KERNEL);
	if (!t) {
		ti->error = "Cannot allocate memory";
		return -ENOMEM;
	}
	t->ti = ti;
	INIT_LIST_HEAD(&t->holds);
	r = dmr_table_add(t);
	if (r) {
		ti->error = "The device is just turning to another spare";
		kfree(t);
		return r;
	}
	r = target_init(t, argc, argv);
	if (r) {
		dmr_table_del(t);
		target_free(t);
		return r;
	}
	ti->private = t;
	ti->num_flush_bios = 2;
	ti->flush_supported = true;
	ti->num_write_zeroes_bios = 1;
	ti->num_discard_bios = 1;
	/* A discard of what is on a spare that knows none is not worth refusing all of them. */
	ti->discards_supported = bdev_max_discard_sectors(t->main->bdev);
	ti->per_io_data_size = sizeof(struct dmr_io);
	return 0;
}

void dmr_dtr(struct dm_target *ti)
{
	dmr_table_del(ti->private);
	target_free(ti->private);
}
