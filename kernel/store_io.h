/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Metadata blocks to and from the spare. Inside of the store.
 */
#ifndef DMR_STORE_IO_H
#define DMR_STORE_IO_H

#include <linux/atomic.h>
#include <linux/completion.h>

#include "store.h"

/* A metadata block in memory is one page. NULL if there is none. */
void *dmr_block_alloc(void);
void dmr_block_free(void *block);

/* Read @count (at most BIO_MAX_VECS) neighbouring blocks from @index of @copy. -errno. */
int dmr_blocks_read(struct dmr_store *s, unsigned int copy, u32 index, void *const *block,
		    unsigned int count);

/* The same from @sector. Needs only .bdev and .bios. */
int dmr_blocks_read_at(struct dmr_store *s, sector_t sector, void *const *block,
		       unsigned int count);

/* These copies are damaged or cannot be written. */
void dmr_mark_bad(struct dmr_store *s, u8 copies);

/* Writes in flight together, and which copies they failed on. */
struct dmr_wave {
	struct dmr_store *store;
	unsigned int lost; /* dmr_store_lost() when it began */
	atomic_t pending;
	struct completion done;
	struct dmr_wave_copy {
		struct dmr_wave *wave;
		blk_status_t status;
	} copy[DMR_COPIES];
};

void dmr_wave_begin(struct dmr_wave *w, struct dmr_store *s);
/* Send @block to @index of each copy in @copies. It must not change until the wave has ended. */
void dmr_wave_write(struct dmr_wave *w, u8 copies, u32 index, void *block);
/*
 * Wait for all of it and flush the spare. Copies that a write failed on become bad_copies.
 * Error only of the flush, or of one of somebody else's: then nothing is known to be stable.
 */
int dmr_wave_end(struct dmr_wave *w);

/* Back to how dmr_store_init() left it. */
void dmr_store_forget(struct dmr_store *s);

/* Make s->table @tables long in memory; the new blocks are empty and of @generation. -ENOMEM. */
int dmr_store_grow(struct dmr_store *s, u32 tables, u64 generation);

/*
 * Make the table longer, on the spare, too. -ENOSPC: it is as long as it can be; -ENOMEM: nothing
 * has happened; otherwise the store has failed.
 */
int dmr_store_extend(struct dmr_store *s);

/*
 * Before the first entry of a commit, and before a superblock by itself: has nobody else written another table to
 * the spare? If so the store has failed: -EIO. What another kernel has mended, while this one was
 * hibernated, is taken note of: the next generation has to be newer. May read two blocks.
 */
int dmr_store_is_ours(struct dmr_store *s);

/* Copies that commits rely on. */
u8 dmr_good_copies(const struct dmr_store *s);

/* -EIO if there are fewer of these than a commit needs. */
int dmr_enough_copies(const struct dmr_store *s);

/*
 * Write the superblock to all good copies, and the changed table blocks to those not in @lead,
 * which have them. While nobody has the superblock, half of the copies at most are written at
 * once: those of @lead, as long as there are any. Copies that join come last, by themselves: before
 * that, what they hold must not win over the good ones. Errors as dmr_super_commit().
 */
int dmr_publish(struct dmr_store *s, u8 lead);

/* Enter a repair of the copies, at this time, into the superblock in memory. */
void dmr_note_repair(struct dmr_store *s);

/* Another state, in the superblock in memory; see dmr_store_set_state(). */
void dmr_enter_state(struct dmr_store *s, enum dmr_state state, const u8 *peer);

/* Make s->room what the table says. */
void dmr_store_count_room(struct dmr_store *s);

/*
 * Seal the superblock as the next generation and write it in waves, so that a good one is left
 * whatever tears: all good copies must hold the one before. The error of a flush, -EIO if fewer
 * than two copies are good, or that of dmr_store_is_ours().
 */
int dmr_super_commit(struct dmr_store *s);

#endif
