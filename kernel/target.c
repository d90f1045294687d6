// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-remap: sectors of a main device that cannot be written live on a spare.
 */
#include <linux/blkdev.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uuid.h>

#include "target.h"

void dmr_redirect(struct dmr_target *t, struct bio *bio, const struct dmr_place *place)
{
	bio_set_dev(bio, place->on_spare ? t->spare->bdev : t->main->bdev);
	bio->bi_iter.bi_sector = place->sector;
}

/* Under rcu_read_lock(), which the mover's waits rely on. True if the write has to wait. */
static bool count_writer(struct dmr_target *t, struct bio *bio, struct dmr_io *io)
{
	/* Pairs with hold_sectors(): whoever sees the new phase sees the hold, too. */
	u8 phase = smp_load_acquire(&t->writers.phase);
	const struct dmr_hold *hold = rcu_dereference(t->mover.hold);
	sector_t start = bio->bi_iter.bi_sector;

	if (unlikely(hold) && start < hold->end && bio_end_sector(bio) > hold->start) {
		if (start >= hold->start) {
			if (bio_end_sector(bio) > hold->end)
				dm_accept_partial_bio(bio, hold->end - start);
			return true;
		}
		dm_accept_partial_bio(bio, hold->start - start);
	}
	io->phase = phase;
	io->counted = true;
	this_cpu_inc(*t->writers.count[phase]);
	return false;
}

static int remap_map(struct dm_target *ti, struct bio *bio)
{
	struct dmr_target *t = ti->private;
	struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));
	struct dmr_place place;

	io->counted = false;
	io->moved = false;
	io->settled = false;
	if (unlikely(bio->bi_opf & REQ_PREFLUSH)) {
		/* An empty flush, for each device one: dm core splits off the data. */
		bio_set_dev(bio, dm_bio_get_target_bio_nr(bio) ? t->spare->bdev : t->main->bdev);
		io->settled = true;
		return DM_MAPIO_REMAPPED;
	}

	rcu_read_lock();
	if (op_is_write(bio_op(bio)) && count_writer(t, bio, io)) {
		rcu_read_unlock();
		io->iter = bio->bi_iter;
		dmr_mover_take(t, bio);
		return DM_MAPIO_SUBMITTED;
	}
	dmr_lookup(&t->extents, bio->bi_iter.bi_sector, bio_sectors(bio), &place);
	rcu_read_unlock();

	if (place.run < bio_sectors(bio))
		dm_accept_partial_bio(bio, place.run);
	io->iter = bio->bi_iter;
	dmr_redirect(t, bio, &place);
	return DM_MAPIO_REMAPPED;
}

static void uncount_writer(struct dmr_target *t, struct dmr_io *io)
{
	io->counted = false;
	this_cpu_dec(*t->writers.count[io->phase]);
	/* Pairs with the barrier of prepare_to_wait() in the mover. */
	smp_mb();
	if (unlikely(READ_ONCE(t->writers.awaited)))
		wake_up(&t->writers.idle);
}

static int remap_end_io(struct dm_target *ti, struct bio *bio, blk_status_t *error)
{
	struct dmr_target *t = ti->private;
	struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));

	if (io->counted)
		uncount_writer(t, io);
	if (likely(!*error) || io->settled || bio_op(bio) != REQ_OP_WRITE ||
	    !dmr_is_suspect(*error))
		return DM_ENDIO_DONE;
	dmr_mover_take(t, bio);
	return DM_ENDIO_INCOMPLETE;
}

static int get_devices(struct dmr_target *t, char **argv)
{
	struct dm_target *ti = t->ti;
	int r;

	r = dm_get_device(ti, argv[0], dm_table_get_mode(ti->table), &t->main);
	if (r) {
		ti->error = "Cannot open main device";
		return r;
	}
	r = dm_get_device(ti, argv[1], dm_table_get_mode(ti->table), &t->spare);
	if (r)
		ti->error = "Cannot open spare device";
	return r;
}

static int check_devices(struct dmr_target *t)
{
	struct block_device *main = t->main->bdev, *spare = t->spare->bdev;
	struct dm_target *ti = t->ti;

	if (main->bd_disk == spare->bd_disk &&
	    (main == spare || !bdev_is_partition(main) || !bdev_is_partition(spare)))
		ti->error = "Main and spare overlap";
	else if (bdev_nr_sectors(main) < ti->len)
		ti->error = "Main device is smaller than the table";
	else if (ti->len > DMR_MAX_SECTORS)
		ti->error = "Length is more than a set can have";
	else if (ti->len & (t->unit - 1))
		ti->error = "Length is not a multiple of main's logical block";
	else if (bdev_logical_block_size(spare) > bdev_logical_block_size(main))
		ti->error = "Spare's logical block is larger than main's";
	else if (bdev_logical_block_size(main) > DMR_BLOCK_SIZE)
		ti->error = "Main's logical block is larger than 4096 bytes";
	else if (bdev_is_zoned(main) || bdev_is_zoned(spare))
		ti->error = "Zoned devices are not supported";
	else
		return 0;
	return -EINVAL;
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
			t->store.no_repair = true;
		} else if (!strcmp(*argv, "uuid") && count > 1) {
			uuid_t uuid;

			argv++;
			count--;
			if (uuid_parse(*argv, &uuid))
				goto invalid;
			export_uuid(t->uuid, &uuid);
			t->has_uuid = true;
		} else {
			goto invalid;
		}
	}
	return 0;

invalid:
	ti->error = "Invalid optional arguments: [<#args> [uuid <set uuid>] [no_repair]]";
	return -EINVAL;
}

/* Only the identity is looked at: the table may still be changing under another mapping. */
static int check_identity(struct dmr_target *t)
{
	int r = dmr_store_identify(&t->store, t->has_uuid ? t->uuid : NULL);

	if (r < 0) {
		t->ti->error = "Spare holds no usable set";
		return r;
	}
	if (!r && le64_to_cpu(t->store.super->length) != t->ti->len) {
		t->ti->error = "Length is not the one of the set";
		return -EINVAL;
	}
	if (!r && le32_to_cpu(t->store.super->main_block) != t->unit * DMR_SECTOR_SIZE) {
		t->ti->error = "Main's logical block is not the one of the set";
		return -EINVAL;
	}
	return 0;
}

static void target_free(struct dmr_target *t)
{
	dmr_mover_exit(t);
	dmr_extents_exit(&t->extents);
	if (t->store.bdev)
		dmr_store_exit(&t->store);
	if (t->spare)
		dm_put_device(t->ti, t->spare);
	if (t->main)
		dm_put_device(t->ti, t->main);
	kfree(t);
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
	r = dmr_store_init(&t->store, t->spare->bdev);
	if (r) {
		if (r == -EINVAL)
			ti->error = "Spare device is too small";
		return r;
	}
	r = dmr_extents_init(&t->extents, ti->len);
	if (!r)
		r = dmr_mover_init(t);
	if (r)
		return r;

	r = parse_options(t, argc - 2, argv + 2);
	if (!r)
		r = check_identity(t);
	return r;
}

static int remap_ctr(struct dm_target *ti, unsigned int argc, char **argv)
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
	r = target_init(t, argc, argv);
	if (r) {
		target_free(t);
		return r;
	}
	ti->private = t;
	ti->num_flush_bios = 2;
	ti->flush_supported = true;
	ti->per_io_data_size = sizeof(struct dmr_io);
	return 0;
}

static void remap_dtr(struct dm_target *ti)
{
	target_free(ti->private);
}

/* An empty spare becomes a set; its name is the device's, where that will do as a name. */
static int format(struct dmr_target *t)
{
	char name[DM_NAME_LEN] = "";
	u8 uuid[DMR_UUID_SIZE], spare_uuid[DMR_UUID_SIZE];
	struct dmr_new n = {
		.uuid = t->has_uuid ? t->uuid : uuid,
		.spare_uuid = spare_uuid,
		.name = name,
		.length = t->ti->len,
		.main_block = t->unit * DMR_SECTOR_SIZE,
		.spare_block = bdev_logical_block_size(t->spare->bdev),
		.created = ktime_get_real_seconds(),
	};

	generate_random_uuid(uuid);
	generate_random_uuid(spare_uuid);
	dm_copy_name_and_uuid(dm_table_get_md(t->ti->table), name, NULL);
	if (!dmr_name_valid(name))
		name[0] = '\0';
	DMINFO("%pg: empty, formatting it as spare of %pg", t->spare->bdev, t->main->bdev);
	return dmr_store_format(&t->store, &n);
}

/*
 * The table is read here and not in the constructor: a reload runs the constructor while the
 * old mapping still commits.
 */
static int remap_preresume(struct dm_target *ti)
{
	struct dmr_target *t = ti->private;
	int r;

	if (t->loaded)
		return 0;
	t->store.read_only = get_disk_ro(dm_disk(dm_table_get_md(ti->table)));
	r = dmr_store_identify(&t->store, t->has_uuid ? t->uuid : NULL);
	if (r == 1)
		r = t->store.read_only ? -EROFS : format(t);
	else if (!r)
		r = dmr_store_load(&t->store, &t->extents);
	if (r) {
		DMERR("%pg: cannot load the remap table (%d)", t->spare->bdev, r);
		return r;
	}
	t->loaded = true;
	return 0;
}

/* A message that moves much would keep the suspend waiting. */
static void remap_presuspend(struct dm_target *ti)
{
	dmr_mover_stop(ti->private);
}

static void remap_presuspend_undo(struct dm_target *ti)
{
	dmr_mover_start(ti->private);
}

/* dm core has waited for all its bios by now, so nothing new comes to the mover. */
static void remap_postsuspend(struct dm_target *ti)
{
	dmr_mover_drain(ti->private);
}

static int remap_iterate_devices(struct dm_target *ti, iterate_devices_callout_fn fn, void *data)
{
	struct dmr_target *t = ti->private;
	int r = fn(ti, t->main, 0, ti->len, data);

	return r ? r : fn(ti, t->spare, 0, bdev_nr_sectors(t->spare->bdev), data);
}

static void remap_resume(struct dm_target *ti)
{
	dmr_mover_start(ti->private);
}

static struct target_type remap_target = {
	.name = "remap",
	.version = { 0, 1, 0 },
	.features = DM_TARGET_SINGLETON,
	.module = THIS_MODULE,
	.ctr = remap_ctr,
	.dtr = remap_dtr,
	.map = remap_map,
	.end_io = remap_end_io,
	.preresume = remap_preresume,
	.resume = remap_resume,
	.presuspend = remap_presuspend,
	.presuspend_undo = remap_presuspend_undo,
	.postsuspend = remap_postsuspend,
	.status = dmr_status,
	.message = dmr_message,
	.iterate_devices = remap_iterate_devices,
};

static int __init remap_init(void)
{
	return dm_register_target(&remap_target);
}

static void __exit remap_exit(void)
{
	dm_unregister_target(&remap_target);
}

module_init(remap_init);
module_exit(remap_exit);

MODULE_DESCRIPTION(DM_NAME " bad sector remapping target");
MODULE_LICENSE("GPL");
