// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-remap: sectors of a main device that cannot be written live on a spare.
 */
#include <linux/blkdev.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/uuid.h>

#include "target.h"

/* One write-zeroes at most, as it may have to be sent again as writes. */
#define ZEROES_SECTORS 32768

/*
 * Of blocks of main. The block layer cuts a large write-zeroes at what the driver says, which may
 * be an odd number of sectors; told that this cannot be done it writes pages.
 */
static bool is_whole(const struct dmr_target *t, const struct bio *bio)
{
	return !((bio->bi_iter.bi_sector | bio_sectors(bio)) & (t->unit - 1));
}

bool dmr_is_moot(const struct dmr_spare *s, const struct bio *bio, bool on_spare)
{
	return on_spare && bio_op(bio) == REQ_OP_DISCARD && !bdev_max_discard_sectors(s->dev->bdev);
}

static int remap_map(struct dm_target *ti, struct bio *bio)
{
	struct dmr_target *t = ti->private;
	struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));
	const bool write = op_is_write(bio_op(bio));
	const struct dmr_spare *spare;
	struct dmr_place place;

	io->counted = false;
	io->flush = false;
	io->fua = bio->bi_opf & REQ_FUA;
	io->behind = 0;
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
	spare = dmr_spare(t);
	dmr_lookup(&spare->extents, bio->bi_iter.bi_sector, bio_sectors(bio), &place);
	rcu_read_unlock();

	if (unlikely(bio_op(bio) == REQ_OP_WRITE_ZEROES))
		place.run = min_t(sector_t, place.run, ZEROES_SECTORS);
	if (place.run < bio_sectors(bio))
		dm_accept_partial_bio(bio, place.run);
	io->iter = bio->bi_iter;
	io->on_spare = place.on_spare;
	if (unlikely(place.pending)) {
		if (write && bio_op(bio) != REQ_OP_DISCARD) {
			dmr_writer_end(t, io);
			dmr_mover_take(t, bio);
			return DM_MAPIO_SUBMITTED;
		}
		if (!write && place.on_spare)
			return DM_MAPIO_KILL;
	}
	if (unlikely(place.on_spare)) {
		if (dmr_is_moot(spare, bio, true)) {
			bio_endio(bio);
			return DM_MAPIO_SUBMITTED;
		}
		/* The spare that was there when the queue was told might have been able to. */
		if (!bdev_nowait(spare->dev->bdev))
			bio->bi_opf &= ~REQ_NOWAIT;
	}
	bio_set_dev(bio, dmr_holder(t, spare, &place));
	bio->bi_iter.bi_sector = place.sector;
	if (unlikely(io->fua))
		dmr_flush_fua(t, io, bio, place.on_spare);
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
		if (unlikely(io->on_spare))
			dmr_note_change(t, io->iter.bi_sector);
		dmr_writer_end(t, io);
		if (likely(!*error))
			dmr_note_write(t, bio, io->on_spare);
	}
	if (unlikely(io->flush) && !io->settled)
		return dmr_flush_end(t, bio, io, *error);
	if (unlikely(*error))
		return io->settled ? DM_ENDIO_DONE : failed(t, bio, *error);
	return unlikely(io->behind) ? dmr_flush_behind(t, bio, io) : DM_ENDIO_DONE;
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
		.spare_block = bdev_logical_block_size(t->spare->dev->bdev),
		.created = ktime_get_real_seconds(),
		.generation = 1,
	};
	struct dmr_store *s = &t->spare->store;
	int r = dmr_store_check_blank(s);

	if (r)
		return r;

	generate_random_uuid(uuid);
	generate_random_uuid(spare_uuid);
	dm_copy_name_and_uuid(dm_table_get_md(t->ti->table), name, NULL);
	if (!dmr_name_valid(name))
		name[0] = '\0';
	dmr_super_init(s->super, &s->layout, &n);
	r = dmr_store_format(s);
	if (!r)
		DMINFO("%pg: was empty, formatted as spare of %pg", t->spare->dev->bdev,
		       t->main->bdev);
	return r;
}

static int load(struct dmr_target *t)
{
	struct dmr_store *s = &t->spare->store;
	int r = dmr_identify(t, s, dmr_wanted(t));

	s->no_repair = READ_ONCE(t->no_repair);
	if (r == 1)
		return s->read_only ? -EROFS : format(t);
	return r ? r : dmr_store_load(s, &t->spare->extents);
}

/*
 * The table is read here and not in the constructor: a reload runs the constructor while the
 * old mapping still commits.
 */
static int remap_preresume(struct dm_target *ti)
{
	struct dmr_target *t = ti->private;
	struct dmr_store *s = &t->spare->store;
	unsigned int noio;
	int r;

	if (t->loaded)
		return 0;
	/* By its table, as dm core has just told the disk; "blockdev --setro" is another matter. */
	s->read_only = test_bit(GD_READ_ONLY, &dm_disk(dm_table_get_md(ti->table))->state);
	r = dmr_claim(t);
	if (r)
		return r;
	/* The device is still suspended: memory may not be written out to it. */
	noio = memalloc_noio_save();
	r = load(t);
	memalloc_noio_restore(noio);
	/* What the table before left in the spare's cache; a load that writes flushes. */
	if (!dmr_store_writable(s) || atomic_read(&t->flush.all.untold))
		atomic64_inc(&t->flush.written);
	dmr_flush_distrust(t);
	if (r) {
		DMERR("%pg: cannot load the remap table (%d)", s->bdev, r);
		/* If a flush failed, here or before, the table that comes next has to know. */
		if (!dmr_flush_owes(t))
			dmr_unclaim(t);
		return r;
	}
	t->loaded = true;
	t->reported = (struct dmr_reported){
		.health = dmr_health(t),
		.bad_copies = s->bad_copies,
		.repairs = le64_to_cpu(s->super->repairs),
	};
	dmr_scrub_stagger(t);
	return 0;
}

/* A message that moves much would keep the suspend waiting. */
static void remap_presuspend(struct dm_target *ti)
{
	dmr_scrub_stop(ti->private);
	dmr_mover_stop(ti->private);
}

static void remap_presuspend_undo(struct dm_target *ti)
{
	dmr_mover_start(ti->private);
	dmr_scrub_start(ti->private);
}

/* dm core has waited for all its bios by now, so nothing new comes to the workers. */
static void remap_postsuspend(struct dm_target *ti)
{
	dmr_sysfs_remove(ti->private);
	dmr_scrub_drain(ti->private);
	dmr_reader_drain(ti->private);
	dmr_mover_drain(ti->private);
	dmr_flush_distrust(ti->private); /* of a new spare that could not be formatted */
	dmr_close_replaced(ti->private);
}

static int remap_iterate_devices(struct dm_target *ti, iterate_devices_callout_fn fn, void *data)
{
	struct dmr_target *t = ti->private;
	struct dm_dev *spare = dmr_spare(t)->dev;
	int r = fn(ti, t->main, 0, ti->len, data);

	/* Its size need not be a multiple of main's block, as dm core would have it. */
	return r ? r : fn(ti, spare, 0, round_down(bdev_nr_sectors(spare->bdev), t->unit), data);
}

static void remap_resume(struct dm_target *ti)
{
	dmr_guard_resume(ti->private);
	dmr_mover_start(ti->private);
	dmr_scrub_start(ti->private);
	dmr_sysfs_add(ti->private);
}

/* The spare stands in for sectors of main: what main likes is what counts. */
static void remap_io_hints(struct dm_target *ti, struct queue_limits *limits)
{
	struct dmr_target *t = ti->private;

	limits->physical_block_size = bdev_physical_block_size(t->main->bdev);
	limits->io_min = bdev_io_min(t->main->bdev);
	limits->io_opt = bdev_io_opt(t->main->bdev);
	limits->alignment_offset = max(bdev_alignment_offset(t->main->bdev), 0);
	limits->discard_granularity = bdev_discard_granularity(t->main->bdev);
	limits->discard_alignment = bdev_discard_alignment(t->main->bdev);
}

static struct target_type remap_target = {
	.name = "remap",
	.version = { 0, 1, 0 },
	.features = DM_TARGET_SINGLETON | DM_TARGET_NOWAIT,
	.module = THIS_MODULE,
	.ctr = dmr_ctr,
	.dtr = dmr_dtr,
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
