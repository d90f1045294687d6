// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/block/dm-N/remap/: what a monitor reads.
 *
 * The group is there while the device is not suspended. The attributes carry the target, and sysfs
 * waits for their readers before it removes them: nobody meets a target that is gone.
 */
#include <linux/blkdev.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "target.h"

struct attr {
	struct device_attribute attr;
	struct dmr_target *target;
};

static struct dmr_target *target_of(struct device_attribute *a)
{
	return container_of(a, struct attr, attr)->target;
}

#define SHOW(name, format, ...)                                                             \
	static ssize_t name##_emit(struct dmr_target *t, char *buf)                         \
	{                                                                                   \
		return sysfs_emit(buf, format "\n", __VA_ARGS__);                           \
	}                                                                                   \
	static ssize_t name##_show(struct device *d, struct device_attribute *a, char *buf) \
	{                                                                                   \
		return name##_emit(target_of(a), buf);                                      \
	}

#define STORE(name, do_it)                                                                         \
	static ssize_t name##_store(struct device *d, struct device_attribute *a, const char *buf, \
				    size_t count)                                                  \
	{                                                                                          \
		return do_it(target_of(a), buf) ?: count;                                          \
	}

static int trigger_repair(struct dmr_target *t, const char *value)
{
	bool wanted;

	if (kstrtobool(value, &wanted) || !wanted)
		return -EINVAL;
	if (dmr_read_only(t))
		return -EROFS;
	dmr_repair_ask(t);
	return 0;
}

static int set_scrub_interval(struct dmr_target *t, const char *value)
{
	return dmr_param_set(t, "scrub_interval", value);
}

static int enable_auto_repair(struct dmr_target *t, const char *value)
{
	bool enabled;

	if (kstrtobool(value, &enabled))
		return -EINVAL;
	WRITE_ONCE(t->no_repair, !enabled);
	dmr_scrub_kick(t);
	return 0;
}

SHOW(metadata_health, "%u/5 copies valid", dmr_store_valid_copies(&dmr_spare(t)->store))
SHOW(metadata_repairs, "%llu", le64_to_cpu(dmr_spare(t)->store.super->repairs))
SHOW(last_repair_time, "%llu", le64_to_cpu(dmr_spare(t)->store.super->last_repair))
SHOW(scrubs_completed, "%llu", le64_to_cpu(dmr_spare(t)->store.super->scrubs))
SHOW(remapped_sectors, "%llu", READ_ONCE(dmr_spare(t)->store.remapped))
SHOW(extents, "%llu", READ_ONCE(dmr_spare(t)->store.extents))
SHOW(pending_sectors, "%llu", READ_ONCE(dmr_spare(t)->extents.pending))
SHOW(spare_free_sectors, "%llu", dmr_store_free(&dmr_spare(t)->store))
SHOW(state, "%s", dmr_health_text(dmr_health(t)))
SHOW(mode, "%s", dmr_mode_text(t))
SHOW(action, "%s", dmr_scrub_text(t))
SHOW(scrubbed_sectors, "%llu", READ_ONCE(t->scrub.done))
SHOW(unreadable_sectors, "%llu", READ_ONCE(t->scrub.left_unreadable))
SHOW(scrub_interval_seconds, "%llu", READ_ONCE(t->param[DMR_SCRUB_INTERVAL]))
SHOW(auto_repair_enabled, "%d", !READ_ONCE(t->no_repair))
STORE(scrub_interval_seconds, set_scrub_interval)
STORE(auto_repair_enabled, enable_auto_repair)
STORE(trigger_repair, trigger_repair)

static const struct device_attribute attributes[] = {
	__ATTR_RO(metadata_health),
	__ATTR_RO(metadata_repairs),
	__ATTR_RO(last_repair_time),
	__ATTR_RO(scrubs_completed),
	__ATTR_RO(remapped_sectors),
	__ATTR_RO(extents),
	__ATTR_RO(pending_sectors),
	__ATTR_RO(spare_free_sectors),
	__ATTR_RO(state),
	__ATTR_RO(mode),
	__ATTR_RO(action),
	__ATTR_RO(scrubbed_sectors),
	__ATTR_RO(unreadable_sectors),
	__ATTR_RW(scrub_interval_seconds),
	__ATTR_RW(auto_repair_enabled),
	__ATTR_WO(trigger_repair),
};

struct dmr_sysfs {
	struct attr attr[ARRAY_SIZE(attributes)];
	struct attribute *list[ARRAY_SIZE(attributes) + 1];
	struct attribute_group group;
};

static struct kobject *parent(struct dmr_target *t)
{
	return &disk_to_dev(dm_disk(dm_table_get_md(t->ti->table)))->kobj;
}

static int add_group(struct dmr_target *t)
{
	struct dmr_sysfs *s = kzalloc(sizeof(*s), GFP_KERNEL);
	unsigned int i;
	int r;

	if (!s)
		return -ENOMEM;
	s->group.name = "remap";
	s->group.attrs = s->list;
	for (i = 0; i < ARRAY_SIZE(attributes); i++) {
		s->attr[i].attr = attributes[i];
		s->attr[i].target = t;
		sysfs_attr_init(&s->attr[i].attr.attr);
		s->list[i] = &s->attr[i].attr.attr;
	}
	r = sysfs_create_group(parent(t), &s->group);
	if (r)
		kfree(s);
	else
		t->sysfs = s;
	return r;
}

void dmr_sysfs_add(struct dmr_target *t)
{
	/* The device is still suspended: memory may not be written out to it. */
	const unsigned int noio = memalloc_noio_save();
	int r = add_group(t);

	if (r)
		DMERR("%pg: cannot create sysfs attributes (%d)", t->main->bdev, r);
	memalloc_noio_restore(noio);
}

void dmr_sysfs_remove(struct dmr_target *t)
{
	if (!t->sysfs)
		return;
	sysfs_remove_group(parent(t), &t->sysfs->group);
	kfree(t->sysfs);
	t->sysfs = NULL;
}
