// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-remap: sectors of a main device that cannot be written live on a spare.
 */
#include <linux/blkdev.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uuid.h>

#include "target.h"

/* Bios kept back for what is sent again, so that it gets on when memory is short. */
#define RESERVED_BIOS 16

/* One write-zeroes at most, as it may have to be sent again as writes. */
#define ZEROES_SECTORS 32768

static void redirect(struct dmr_target *t, struct bio *bio, const struct dmr_place *place)
{
	bio_set_dev(bio, dmr_holder(t, place));
	bio->bi_iter.bi_sector = place->sector;
}

/*
 * Of blocks of main. The block layer cuts a large write-zeroes at what the driver says, which may
 * be an odd number of sectors; told that this cannot be done it writes pages.
 */
static bool is_whole(const struct dmr_target *t, const struct bio *bio)
{
	return !((bio->bi_iter.bi_sector | bio_sectors(bio)) & (t->unit - 1));
}

bool dmr_is_moot(struct dmr_target *t, const struct bio *bio, bool on_spare)
{
	return on_spare && bio_op(bio) == REQ_OP_DISCARD &&
	       !bdev_max_discard_sectors(t->spare->bdev);
}

static int remap_map(struct dm_target *ti, struct bio *bio)
{
	struct dmr_target *t = ti->private;
	struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));
	const bool write = op_is_write(bio_op(bio));
	struct dmr_place place;

	io->counted = false;
	io->flush = false;
	io->fua = bio->bi_opf & REQ_FUA;
	io->moved = false;
	io->settled = false;
	if (unlikely(bio->bi_opf & REQ_PREFLUSH))
		return dmr_flush_map(t, bio, io);
	if (unlikely(bio_op(bio) == REQ_OP_WRITE_ZEROES) && !is_whole(t, bio)) {
		bio->bi_status = BLK_STS_NOTSUPP;
		bio_endio(bio);
		return DM_MAPIO_SUBMITTED;
	}

	rcu_read_lock();
	if (write && unlikely(!dmr_writer_begin(t, bio, io))) {
		rcu_read_unlock();
		io->iter = bio->bi_iter;
		dmr_mover_take(t, bio);
		return DM_MAPIO_SUBMITTED;
	}
	dmr_lookup(&t->extents, bio->bi_iter.bi_sector, bio_sectors(bio), &place);
	rcu_read_unlock();

	if (unlikely(bio_op(bio) == REQ_OP_WRITE_ZEROES))
		place.run = min_t(sector_t, place.run, ZEROES_SECTORS);
	if (place.run < bio_sectors(bio))
		dm_accept_partial_bio(bio, place.run);
	io->iter = bio->bi_iter;
	io->on_spare = place.on_spare;
	if (unlikely(place.pending) && write && bio_op(bio) != REQ_OP_DISCARD) {
		dmr_writer_end(t, io);
		dmr_mover_take(t, bio);
		return DM_MAPIO_SUBMITTED;
	}
	if (unlikely(place.on_spare) && dmr_is_moot(t, bio, true)) {
		bio_endio(bio);
		return DM_MAPIO_SUBMITTED;
	}
	redirect(t, bio, &place);
	return DM_MAPIO_REMAPPED;
}

/* A bio has failed: who deals with that? */
static int failed(struct dmr_target *t, struct bio *bio, blk_status_t error)
{
	switch (bio_op(bio)) {
	case REQ_OP_READ:
		if (!dmr_read_failed(error, bio))
			return DM_ENDIO_DONE;
		dmr_reader_take(t, bio);
		return DM_ENDIO_INCOMPLETE;
	case REQ_OP_WRITE:
	case REQ_OP_WRITE_ZEROES:
		if (!dmr_is_suspect(error))
			return DM_ENDIO_DONE;
		dmr_mover_take(t, bio);
		return DM_ENDIO_INCOMPLETE;
	default:
		return DM_ENDIO_DONE;
	}
}

static int remap_end_io(struct dm_target *ti, struct bio *bio, blk_status_t *error)
{
	struct dmr_target *t = ti->private;
	struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));

	if (io->counted) {
		dmr_writer_end(t, io);
		if (likely(!*error))
			dmr_note_write(t, bio, io->on_spare);
	}
	if (unlikely(io->flush) && !io->settled)
		return dmr_flush_end(t, bio, io, *error);
	if (likely(!*error) || io->settled)
		return DM_ENDIO_DONE;
	return failed(t, bio, *error);
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

	if (dmr_overlap(main, spare))
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
			t->store.no_repair = true;
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

static int identify(struct dmr_target *t)
{
	return dmr_identify(t, &t->store, t->has_uuid ? t->uuid : NULL);
}

/* Only the identity is looked at: the table may still be changing under another mapping. */
static int check_identity(struct dmr_target *t)
{
	int r = identify(t);

	if (r >= 0)
		return 0;
	t->ti->error = "Spare holds no set that can be used with this main";
	return r;
}

static void target_free(struct dmr_target *t)
{
	dmr_reader_exit(t);
	dmr_mover_exit(t);
	dmr_holds_exit(t);
	bioset_exit(&t->bios);
	dmr_extents_exit(&t->extents);
	if (t->store.bdev)
		dmr_store_exit(&t->store);
	if (t->spare)
		dm_put_device(t->ti, t->spare);
	if (t->main)
		dm_put_device(t->ti, t->main);
	kfree(t);
}

/* -ENOMEM. */
static int init_parts(struct dmr_target *t)
{
	int r;

	dmr_flush_init(t);
	dmr_guard_init(t);
	r = dmr_extents_init(&t->extents, t->ti->len);
	if (!r)
		r = bioset_init(&t->bios, RESERVED_BIOS, 0, BIOSET_NEED_BVECS);
	if (!r)
		r = dmr_holds_init(t);
	if (!r)
		r = dmr_mover_init(t);
	if (!r)
		r = dmr_reader_init(t);
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
	r = dmr_store_init(&t->store, t->spare->bdev);
	if (r) {
		if (r == -EINVAL)
			ti->error = "Spare device is too small";
		return r;
	}
	dmr_params_default(t);
	r = init_parts(t);
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
	INIT_LIST_HEAD(&t->live);
	INIT_LIST_HEAD(&t->holds);
	r = target_init(t, argc, argv);
	if (r) {
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

static void remap_dtr(struct dm_target *ti)
{
	dmr_unclaim(ti->private);
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
	int r;

	generate_random_uuid(uuid);
	generate_random_uuid(spare_uuid);
	dm_copy_name_and_uuid(dm_table_get_md(t->ti->table), name, NULL);
	if (!dmr_name_valid(name))
		name[0] = '\0';
	r = dmr_store_format(&t->store, &n);
	if (!r)
		DMINFO("%pg: was empty, formatted as spare of %pg", t->spare->bdev, t->main->bdev);
	return r;
}

static int load(struct dmr_target *t)
{
	int r = identify(t);

	if (r == 1)
		return t->store.read_only ? -EROFS : format(t);
	return r ? r : dmr_store_load(&t->store, &t->extents);
}

/*
 * The table is read here and not in the constructor: a reload runs the constructor while the
 * old mapping still commits.
 */
static int remap_preresume(struct dm_target *ti)
{
	struct dmr_target *t = ti->private;
	unsigned int noio;
	int r;

	if (t->loaded)
		return 0;
	t->store.read_only = get_disk_ro(dm_disk(dm_table_get_md(ti->table)));
	r = dmr_claim(t);
	if (r)
		return r;
	/* The device is still suspended: memory may not be written out to it. */
	noio = memalloc_noio_save();
	r = load(t);
	memalloc_noio_restore(noio);
	if (r) {
		DMERR("%pg: cannot load the remap table (%d)", t->spare->bdev, r);
		dmr_unclaim(t);
		return r;
	}
	t->loaded = true;
	t->reported = dmr_health(t);
	/* What the table before left in the spare's cache; a load that writes flushes. */
	if (!dmr_store_writable(&t->store))
		atomic64_inc(&t->flush.written);
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

/* dm core has waited for all its bios by now, so nothing new comes to the workers. */
static void remap_postsuspend(struct dm_target *ti)
{
	dmr_sysfs_remove(ti->private);
	dmr_reader_drain(ti->private);
	dmr_mover_drain(ti->private);
}

static int remap_iterate_devices(struct dm_target *ti, iterate_devices_callout_fn fn, void *data)
{
	struct dmr_target *t = ti->private;
	int r = fn(ti, t->main, 0, ti->len, data);

	/* Its size need not be a multiple of main's block, as dm core would have it. */
	return r ? r
		 : fn(ti, t->spare, 0, round_down(bdev_nr_sectors(t->spare->bdev), t->unit), data);
}

static void remap_resume(struct dm_target *ti)
{
	dmr_mover_start(ti->private);
	dmr_sysfs_add(ti->private);
}

/* The spare stands in for sectors of main: what main likes is what counts. */
static void remap_io_hints(struct dm_target *ti, struct queue_limits *limits)
{
	struct dmr_target *t = ti->private;

	limits->physical_block_size = bdev_physical_block_size(t->main->bdev);
	limits->io_min = bdev_io_min(t->main->bdev);
	limits->io_opt = bdev_io_opt(t->main->bdev);
	limits->alignment_offset = bdev_alignment_offset(t->main->bdev);
	limits->discard_granularity = bdev_discard_granularity(t->main->bdev);
	limits->discard_alignment = bdev_discard_alignment(t->main->bdev);
}

static struct target_type remap_target = {
	.name = "remap",
	.version = { 0, 1, 0 },
	.features = DM_TARGET_SINGLETON | DM_TARGET_NOWAIT,
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
	.io_hints = remap_io_hints,
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
