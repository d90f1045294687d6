// SPDX-License-Identifier: GPL-2.0-only
/*
 * Parts of a bio, and pages, sent to a device and waited for.
 */
#include <linux/highmem.h>

#include "target.h"

/*
 * An allow-list, as new statuses appear and numbers shift between kernels: SCSI reports a
 * bad sector in each of these three ways, NVMe as MEDIUM, virtio as IOERR.
 */
bool dmr_is_suspect(blk_status_t status)
{
	return status == BLK_STS_MEDIUM || status == BLK_STS_IOERR || status == BLK_STS_TARGET;
}

/* dm-integrity below says PROTECTION when a checksum does not match. */
bool dmr_is_unreadable(blk_status_t status)
{
	return dmr_is_suspect(status) || status == BLK_STS_PROTECTION;
}

void dmr_rewind(struct bio *bio)
{
	struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));

	bio->bi_iter = io->iter;
	io->behind = 0;
	/* It is done as far as its device is concerned: nobody polls that for it any more. */
	WRITE_ONCE(bio->bi_cookie, BLK_QC_T_NONE);
	/* What is cloned from it must find its partition again: bi_sector counts from there. */
	bio_clear_flag(bio, BIO_REMAPPED);
}

static blk_status_t send(struct bio *bio, sector_t sector)
{
	blk_status_t status;

	bio->bi_iter.bi_sector = sector;
	submit_bio_wait(bio);
	status = bio->bi_status;
	bio_put(bio);
	return status;
}

/* A bio that writes zeroes from memory, as a device that has bad sectors may not do it itself. */
static struct bio *zeroes(struct dmr_target *t, struct bio *like, sector_t sectors,
			  struct block_device *bdev)
{
	const unsigned int bytes = sectors << SECTOR_SHIFT;
	struct bio *bio =
		bio_alloc_bioset(bdev, DIV_ROUND_UP(bytes, PAGE_SIZE),
				 REQ_OP_WRITE | (like->bi_opf & REQ_SYNC), GFP_NOIO, &t->bios);
	unsigned int done;

	for (done = 0; done < bytes; done += PAGE_SIZE)
		__bio_add_page(bio, ZERO_PAGE(0), min_t(unsigned int, bytes - done, PAGE_SIZE), 0);
	return bio;
}

blk_status_t dmr_piece(struct dmr_target *t, struct bio *bio, sector_t offset, sector_t sectors,
		       struct block_device *bdev, sector_t sector)
{
	struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));
	struct bio *piece;

	if (bio_op(bio) == REQ_OP_WRITE_ZEROES) {
		piece = zeroes(t, bio, sectors, bdev);
	} else {
		piece = bio_alloc_clone(bdev, bio, GFP_NOIO, &t->bios);
		bio_trim(piece, offset, sectors);
	}
	/* It is waited for here: nobody polls, and nobody wants to hear that it would block. */
	piece->bi_opf &= ~(REQ_NOWAIT | REQ_RAHEAD | REQ_POLLED);
	if (io->fua)
		dmr_flush_fua(t, io, piece, bdev != t->main->bdev);
	return send(piece, sector);
}

blk_status_t dmr_transfer(struct dmr_target *t, struct page *const *page, sector_t offset,
			  sector_t sectors, blk_opf_t opf, struct block_device *bdev,
			  sector_t sector)
{
	unsigned int at = offset << SECTOR_SHIFT, end = (offset + sectors) << SECTOR_SHIFT;
	struct bio *bio = bio_alloc_bioset(bdev, DIV_ROUND_UP(end, PAGE_SIZE) - at / PAGE_SIZE, opf,
					   GFP_NOIO, &t->bios);

	while (at < end) {
		unsigned int part = min_t(unsigned int, end - at, PAGE_SIZE - at % PAGE_SIZE);

		__bio_add_page(bio, page[at / PAGE_SIZE], part, at % PAGE_SIZE);
		at += part;
	}
	return send(bio, sector);
}

void dmr_copy_data(struct bio *bio, sector_t offset, sector_t sectors, struct page *const *page)
{
	unsigned int done = 0, bytes = sectors << SECTOR_SHIFT;
	struct bvec_iter iter = bio->bi_iter;
	struct bio_vec from;

	if (bio_op(bio) == REQ_OP_WRITE_ZEROES) {
		for (; done < bytes; done += PAGE_SIZE)
			clear_highpage(page[done / PAGE_SIZE]);
		return;
	}
	bio_advance_iter(bio, &iter, offset << SECTOR_SHIFT);
	while (done < bytes && !WARN_ON_ONCE(!iter.bi_size)) {
		unsigned int at = done % PAGE_SIZE, part;

		from = bio_iter_iovec(bio, iter);
		part = min3(from.bv_len, bytes - done, (unsigned int)PAGE_SIZE - at);
		memcpy_page(page[done / PAGE_SIZE], at, from.bv_page, from.bv_offset, part);
		bio_advance_iter(bio, &iter, part);
		done += part;
	}
}

void dmr_end(struct bio *bio)
{
	struct dmr_io *io = dm_per_bio_data(bio, sizeof(*io));

	io->settled = true;
	/* It comes to bio_endio() a second time; blk-rq-qos counts it once. */
	bio_clear_flag(bio, BIO_QOS_THROTTLED);
	bio_clear_flag(bio, BIO_QOS_MERGED);
	bio_endio(bio);
}
