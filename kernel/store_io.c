// SPDX-License-Identifier: GPL-2.0-only
#include <linux/bio.h>
#include <linux/device-mapper.h>
#include <linux/gfp.h>

#include "store_io.h"

#define DM_MSG_PREFIX "remap"

void *dmr_block_alloc(void)
{
	return (void *)get_zeroed_page(GFP_NOIO);
}

void dmr_block_free(void *block)
{
	free_page((unsigned long)block);
}

int dmr_blocks_read_at(struct dmr_store *s, sector_t sector, void *const *block, unsigned int count)
{
	struct bio *bio =
		bio_alloc_bioset(s->bdev, count, REQ_OP_READ | REQ_META, GFP_NOIO, &s->bios);
	unsigned int i;
	int r;

	bio->bi_iter.bi_sector = sector;
	for (i = 0; i < count; i++)
		__bio_add_page(bio, virt_to_page(block[i]), DMR_BLOCK_SIZE, 0);
	r = submit_bio_wait(bio);
	bio_put(bio);
	return r;
}

int dmr_blocks_read(struct dmr_store *s, unsigned int copy, u32 index, void *const *block,
		    unsigned int count)
{
	return dmr_blocks_read_at(s, dmr_block_sector(&s->layout, copy, index), block, count);
}

void dmr_mark_bad(struct dmr_store *s, u8 copies)
{
	WRITE_ONCE(s->bad_copies, s->bad_copies | copies);
	s->joining &= ~copies;
}

void dmr_wave_begin(struct dmr_wave *w, struct dmr_store *s)
{
	unsigned int i;

	w->store = s;
	w->lost = dmr_store_lost(s);
	atomic_set(&w->pending, 1);
	init_completion(&w->done);
	for (i = 0; i < DMR_COPIES; i++) {
		w->copy[i].wave = w;
		w->copy[i].status = BLK_STS_OK;
	}
}

static void wave_put(struct dmr_wave *w)
{
	if (atomic_dec_and_test(&w->pending))
		complete(&w->done);
}

static void wave_endio(struct bio *bio)
{
	struct dmr_wave_copy *c = bio->bi_private;

	if (bio->bi_status)
		c->status = bio->bi_status;
	bio_put(bio);
	wave_put(c->wave);
}

void dmr_wave_write(struct dmr_wave *w, u8 copies, u32 index, void *block)
{
	struct dmr_store *s = w->store;
	unsigned int i;

	for (i = 0; i < DMR_COPIES; i++) {
		struct bio *bio;

		if (!(copies & 1 << i))
			continue;
		bio = bio_alloc_bioset(s->bdev, 1, REQ_OP_WRITE | REQ_META | REQ_SYNC, GFP_NOIO,
				       &s->bios);
		bio->bi_iter.bi_sector = dmr_block_sector(&s->layout, i, index);
		__bio_add_page(bio, virt_to_page(block), DMR_BLOCK_SIZE, 0);
		bio->bi_private = &w->copy[i];
		bio->bi_end_io = wave_endio;
		atomic_inc(&w->pending);
		submit_bio(bio);
	}
}

int dmr_wave_end(struct dmr_wave *w)
{
	struct dmr_store *s = w->store;
	unsigned int i;

	wave_put(w);
	wait_for_completion_io(&w->done);
	for (i = 0; i < DMR_COPIES; i++) {
		if (!w->copy[i].status)
			continue;
		DMERR("%s: %pg: metadata copy %u cannot be written", dmr_set_name(s), s->bdev, i);
		dmr_mark_bad(s, 1 << i);
	}
	return dmr_store_settle(s, w->lost);
}

int dmr_store_flush(struct dmr_store *s)
{
	return dmr_flush_own(s->flushes, s->bdev, s->shares);
}

int dmr_store_settle(struct dmr_store *s, unsigned int lost)
{
	int r = dmr_store_flush(s);

	if (!r && dmr_store_lost(s) != lost)
		r = -EIO;
	return r;
}
