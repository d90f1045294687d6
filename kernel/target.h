/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One set: what the parts of the target share.
 */
#ifndef DMR_TARGET_H
#define DMR_TARGET_H

#include <linux/bio.h>
#include <linux/device-mapper.h>
#include <linux/percpu.h>

#include "extents.h"
#include "store.h"

#define DM_MSG_PREFIX "remap"

struct dmr_target;

/* With each bio, from map to its end. */
struct dmr_io {
	struct bvec_iter iter; /* what was sent down, to send it again in pieces */
	u8 phase; /* of the writers it is counted among */
	bool counted; /* is a write in flight */
	bool moved; /* the mover put a part of it on the spare: needs the commit */
	bool settled; /* the mover has given its last word */
};

/*
 * Writes in flight, so that a move can wait for those that may still change the
 * sectors it reads. Counted per CPU in two phases; a wait begins the other phase.
 */
struct dmr_writers {
	unsigned long __percpu *count[2];
	u8 phase;
	bool awaited;
	wait_queue_head_t idle;
};

/* Sectors of main that the mover reads and is about to move: writes to them wait. */
struct dmr_hold {
	sector_t start;
	sector_t end;
};

/* relocate.c: what happens to a failed write, and to sectors that somebody wants moved. */
struct dmr_mover {
	struct workqueue_struct *wq;
	struct work_struct work;
	struct bio_set bios;
	spinlock_t lock; /* of the following three; taken in end_io, so irqs off */
	struct bio_list writes; /* that main refused, or that ran into a hold */
	struct list_head moves; /* struct move */
	bool stopped; /* suspended: takes no moves */
	struct dmr_hold __rcu *hold; /* NULL: nothing is held; set by the worker */
	struct dmr_hold everything; /* held for good once a commit has failed */
};

struct dmr_target {
	struct dm_target *ti;
	struct dm_dev *main;
	struct dm_dev *spare;
	unsigned int unit; /* sectors of main's logical block */
	bool loaded; /* the table has been read, at the first resume */
	bool has_uuid; /* .uuid is the only set that will do */
	u8 uuid[DMR_UUID_SIZE];
	struct dmr_extents extents;
	struct dmr_store store;
	struct dmr_writers writers;
	struct dmr_mover mover;
};

/* -ENOMEM. */
int dmr_mover_init(struct dmr_target *t);
void dmr_mover_exit(struct dmr_target *t);
void dmr_mover_start(struct dmr_target *t);
/* Refuse moves from now on, and end those that wait or run. Failed writes are still taken. */
void dmr_mover_stop(struct dmr_target *t);
/* Wait until nothing is queued or running, after dmr_mover_stop(). */
void dmr_mover_drain(struct dmr_target *t);

/* True if a write that ended with @status may have met a bad sector. */
bool dmr_is_suspect(blk_status_t status);

/* Take over a write as dmr_io.iter describes it, in any context. The mover ends the bio. */
void dmr_mover_take(struct dmr_target *t, struct bio *bio);

/*
 * Move [@sector, @sector + @count) of main to the spare, with its data. What was moved before
 * stays where it is. Sleeps until done. -EIO if some sectors could not be read (they stay) or the
 * move is not safe, -ENOSPC, -EROFS, -EBUSY while suspended.
 */
int dmr_move(struct dmr_target *t, sector_t sector, sector_t count);

/* target.c: send @bio to where its sectors, all in one run of @place, are. */
void dmr_redirect(struct dmr_target *t, struct bio *bio, const struct dmr_place *place);

/* control.c: the target_type's answers to questions. */
void dmr_status(struct dm_target *ti, status_type_t type, unsigned int status_flags, char *result,
		unsigned int maxlen);
int dmr_message(struct dm_target *ti, unsigned int argc, char **argv, char *result,
		unsigned int maxlen);

#endif
