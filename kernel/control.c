// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the target says of itself, and what it is told: status, table, messages.
 */
#include <linux/slab.h>

#include "target.h"

#define MESSAGE_RANGES 512 /* of a "remap", so that it takes a few pages */

static void emit_table(struct dmr_target *t, char *result, unsigned int maxlen)
{
	const unsigned long chosen = READ_ONCE(t->chosen);
	const bool no_repair = READ_ONCE(t->no_repair);
	unsigned int args = 2 * (t->has_uuid + hweight_long(chosen)) + no_repair;
	unsigned int sz = 0, p;

	DMEMIT("%s %s", t->main->name, dmr_spare(t)->dev->name);
	if (args)
		DMEMIT(" %u", args);
	if (t->has_uuid)
		DMEMIT(" uuid %pUb", t->uuid);
	if (no_repair)
		DMEMIT(" no_repair");
	for_each_set_bit(p, &chosen, DMR_PARAMS)
		DMEMIT(" %s %llu", dmr_param_name(p), READ_ONCE(t->param[p]));
}

void dmr_status(struct dm_target *ti, status_type_t type, unsigned int status_flags, char *result,
		unsigned int maxlen)
{
	struct dmr_target *t = ti->private;
	const struct dmr_spare *spare;
	const struct dmr_store *s;
	unsigned int sz = 0;

	rcu_read_lock(); /* see dmr_spare() */
	spare = dmr_spare(t);
	s = &spare->store;
	switch (type) {
	case STATUSTYPE_INFO:
		DMEMIT("%s %s %llu/%llu %llu %llu %u/%u %llu %llu %llu %s %llu %llu",
		       dmr_mode_text(t), dmr_health_text(dmr_health(t)), READ_ONCE(s->remapped),
		       dmr_data_sectors(&s->layout), READ_ONCE(s->extents),
		       READ_ONCE(spare->extents.pending), dmr_store_valid_copies(s), DMR_COPIES,
		       le64_to_cpu(s->super->header.generation), le64_to_cpu(s->super->repairs),
		       le64_to_cpu(s->super->scrubs), dmr_scrub_text(t), READ_ONCE(t->scrub.done),
		       READ_ONCE(t->scrub.left_unreadable));
		break;
	case STATUSTYPE_TABLE:
		emit_table(t, result, maxlen);
		break;
	case STATUSTYPE_IMA:
		DMEMIT_TARGET_NAME_VERSION(ti->type);
		DMEMIT(",main=%s,spare=%s;", t->main->name, spare->dev->name);
		break;
	}
	rcu_read_unlock();
}

/* A pair of a message: whole blocks of main behind @from. */
static int parse_range(struct dmr_target *t, char **argv, sector_t from, struct dmr_range *r)
{
	unsigned long long sector, count;

	if (kstrtoull(argv[0], 10, &sector) || kstrtoull(argv[1], 10, &count)) {
		DMERR("remap %s %s: not numbers", argv[0], argv[1]);
		return -EINVAL;
	}
	if (!count || sector >= t->ti->len || count > t->ti->len - sector ||
	    (sector | count) & (t->unit - 1)) {
		DMERR("%pg: remap %llu %llu: outside the device, or not in blocks of %u sectors",
		      t->main->bdev, sector, count, t->unit);
		return -EINVAL;
	}
	if (sector < from) {
		DMERR("%pg: remap %llu %llu: not behind the range before it", t->main->bdev, sector,
		      count);
		return -EINVAL;
	}
	r->start = sector;
	r->end = sector + count;
	return 0;
}

/* @pairs of a first sector and a count. */
static int message_remap(struct dmr_target *t, char **argv, unsigned int pairs)
{
	struct dmr_errand *e;
	sector_t end = 0;
	int r = 0;

	if (pairs > MESSAGE_RANGES) {
		DMERR("remap: %u ranges, %u at most in one message", pairs, MESSAGE_RANGES);
		return -E2BIG;
	}
	e = kzalloc(struct_size(e, range, pairs), GFP_KERNEL);
	if (!e)
		return -ENOMEM;
	e->run = dmr_move;
	for (; e->ranges < pairs && !r; argv += 2) {
		r = parse_range(t, argv, end, &e->range[e->ranges]);
		end = e->range[e->ranges++].end;
	}
	if (!r)
		return dmr_mover_run(t, e);
	kfree(e);
	return r;
}

static int message_set(struct dmr_target *t, char **argv)
{
	int r = dmr_param_set(t, argv[1], argv[2]);

	if (r)
		DMERR("set %s %s: no such parameter, or no number", argv[1], argv[2]);
	return r;
}

/* Sectors that could not be read, a run per line. */
static void list_pending(struct dmr_target *t, char *result, unsigned int maxlen)
{
	struct dmr_place place;
	unsigned int sz = 0;
	sector_t sector;

	DMEMIT("%s", ""); /* also if there are none */
	for (sector = 0; sector < t->ti->len; sector += place.run) {
		rcu_read_lock();
		dmr_lookup(&dmr_spare(t)->extents, sector, t->ti->len - sector, &place);
		rcu_read_unlock();
		if (place.pending)
			DMEMIT("%llu %llu\n", (unsigned long long)sector,
			       (unsigned long long)place.run);
		cond_resched();
	}
}

static const char *copy_text(const struct dmr_target *t, u8 bad_copies, unsigned int copy)
{
	if (!(bad_copies & 1 << copy))
		return "ok";
	return dmr_backoff_rests(t, copy) ? "degraded" : "bad";
}

static void describe_metadata(struct dmr_target *t, char *result, unsigned int maxlen)
{
	const struct dmr_store *s;
	struct dmr_progress p;
	unsigned int i, sz = 0;

	rcu_read_lock(); /* see dmr_spare() */
	s = &dmr_spare(t)->store;
	DMEMIT("uuid %pUb\ngeneration %llu\nvalid %u/%u\n", s->super->header.uuid,
	       le64_to_cpu(s->super->header.generation), dmr_store_valid_copies(s), DMR_COPIES);
	for (i = 0; i < DMR_COPIES; i++)
		DMEMIT("copy %u %s at %llu\n", i, copy_text(t, READ_ONCE(s->bad_copies), i),
		       s->layout.copy_sector[i]);
	DMEMIT("extents %llu\nroom %llu\ntable_blocks %u/%u\nfree %llu/%llu\n",
	       READ_ONCE(s->extents), READ_ONCE(s->room), le32_to_cpu(s->super->table_blocks),
	       s->layout.table_capacity, dmr_store_free(s), dmr_data_sectors(&s->layout));
	rcu_read_unlock();
	dmr_migrate_progress(t, &p);
	if (p.to)
		DMEMIT("migration %u:%u %llu/%llu\n", MAJOR(p.to), MINOR(p.to), p.done, p.all);
	if (p.failed)
		DMEMIT("migration_failed %u:%u %d\n", MAJOR(p.failed), MINOR(p.failed), p.error);
}

static int message(struct dmr_target *t, unsigned int argc, char **argv, char *result,
		   unsigned int maxlen)
{
	const char *name = argv[0];

	if (!strcasecmp(name, "remap") && argc >= 3 && argc % 2)
		return message_remap(t, argv + 1, argc / 2);
	if (!strcasecmp(name, "save") && argc == 1)
		return dmr_mover_do(t, dmr_save);
	if (!strcasecmp(name, "restore") && argc == 1)
		return dmr_mover_do(t, dmr_restore);
	if (!strcasecmp(name, "repair") && argc == 1)
		return dmr_repair(t);
	if (!strcasecmp(name, "scrub") && argc == 1) {
		dmr_scrub_ask(t);
		return 0;
	}
	if (!strcasecmp(name, "migrate") && argc == 2)
		return dmr_migrate(t, argv[1]);
	if (!strcasecmp(name, "cancel") && argc == 1)
		return dmr_migrate_cancel(t);
	if (!strcasecmp(name, "set") && argc == 3)
		return message_set(t, argv);
	if (!strcasecmp(name, "pending") && argc == 1) {
		list_pending(t, result, maxlen);
		return 1;
	}
	if (!strcasecmp(name, "metadata_status") && argc == 1) {
		describe_metadata(t, result, maxlen);
		return 1;
	}
	DMERR("%s: unknown, or not its arguments", name);
	return -EINVAL;
}

int dmr_message(struct dm_target *ti, unsigned int argc, char **argv, char *result,
		unsigned int maxlen)
{
	struct dmr_target *t = ti->private;
	/* Before its first resume there is no table that could be asked or changed. */
	int r = t->loaded ? message(t, argc, argv, result, maxlen) : -EBUSY;

	if (r < 0)
		DMERR("%pg: message %s: error %d", t->main->bdev, argv[0], r);
	return r;
}
