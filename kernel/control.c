// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the target says of itself, and what it is told: status, table, messages.
 */
#include "target.h"

static const char *mode(const struct dmr_target *t)
{
	if (READ_ONCE(t->store.failed))
		return "failed";
	return t->store.read_only ? "ro" : "rw";
}

static const char *health(const struct dmr_target *t)
{
	unsigned int valid = dmr_store_valid_copies(&t->store);

	if (READ_ONCE(t->store.failed) || valid < DMR_SAFE_COPIES)
		return "failing";
	return valid < DMR_COPIES ? "degraded" : "ok";
}

void dmr_status(struct dm_target *ti, status_type_t type, unsigned int status_flags, char *result,
		unsigned int maxlen)
{
	struct dmr_target *t = ti->private;
	struct dmr_store *s = &t->store;
	unsigned int sz = 0;

	switch (type) {
	case STATUSTYPE_INFO:
		DMEMIT("%s %s %llu/%llu %llu %u %u/%u %llu %llu %llu", mode(t), health(t),
		       READ_ONCE(s->remapped), dmr_data_sectors(&s->layout), READ_ONCE(s->extents),
		       0, dmr_store_valid_copies(s), DMR_COPIES,
		       le64_to_cpu(s->super->header.generation), le64_to_cpu(s->super->repairs),
		       le64_to_cpu(s->super->scrubs));
		break;
	case STATUSTYPE_TABLE:
		DMEMIT("%s %s", t->main->name, t->spare->name);
		if (t->has_uuid || s->no_repair)
			DMEMIT(" %u", 2 * t->has_uuid + s->no_repair);
		if (t->has_uuid)
			DMEMIT(" uuid %pUb", t->uuid);
		if (s->no_repair)
			DMEMIT(" no_repair");
		break;
	case STATUSTYPE_IMA:
		DMEMIT_TARGET_NAME_VERSION(ti->type);
		DMEMIT(",main=%s,spare=%s;", t->main->name, t->spare->name);
		break;
	}
}

static int message_remap(struct dmr_target *t, unsigned int argc, char **argv)
{
	unsigned long long sector, count;
	char end;
	int r;

	if (argc != 3 || sscanf(argv[1], "%llu%c", &sector, &end) != 1 ||
	    sscanf(argv[2], "%llu%c", &count, &end) != 1) {
		DMERR("usage: remap <sector> <count>");
		return -EINVAL;
	}
	if (!count || sector >= t->ti->len || count > t->ti->len - sector ||
	    (sector | count) & (t->unit - 1)) {
		DMERR("%pg: remap %llu %llu: outside the device, or not in blocks of %u sectors",
		      t->main->bdev, sector, count, t->unit);
		return -EINVAL;
	}
	r = dmr_move(t, sector, count);
	if (r)
		DMERR("%pg: remap %llu %llu: not everything could be moved (%d)", t->main->bdev,
		      sector, count, r);
	return r;
}

int dmr_message(struct dm_target *ti, unsigned int argc, char **argv, char *result,
		unsigned int maxlen)
{
	struct dmr_target *t = ti->private;

	if (!strcasecmp(argv[0], "remap"))
		return message_remap(t, argc, argv);
	DMERR("unknown message %s", argv[0]);
	return -EINVAL;
}
