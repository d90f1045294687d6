/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From five copies to one truth: which superblock stands, which instance of each table block, and
 * whether they make up the table of one version. As pure as format.h, and compiled into the module
 * and into dmremap as well.
 */
#ifndef DMR_VOTE_H
#define DMR_VOTE_H

#include "format.h"

/*
 * Elect the superblock among the five copies. @fault holds what dmr_super_check()
 * said of each and on return also says DMR_STALE, DMR_BAD_UUID or DMR_SPLIT of those that
 * do not hold the winner's bytes. @uuid, if not NULL, is the set that is wanted; otherwise
 * the set with most superblocks stands. Returns the winner's copy number, or -1 if there is
 * none or the choice would be a guess.
 */
int dmr_super_elect(const struct dmr_super *const s[DMR_COPIES], enum dmr_fault fault[DMR_COPIES],
		    const __u8 *uuid);

/*
 * The vote on one table block: feed the five instances in any order. An instance
 * of a copy marked failed in the superblock counts only where no other exists.
 */
struct dmr_vote {
	__u64 generation; /* of the winner */
	__u64 previous; /* generation that the winner replaced */
	__u64 checksum; /* tells instances of one generation apart */
	__u8 valid; /* bit per copy: a valid instance, current or stale */
	__u8 holders; /* bit per copy: holds the winner */
	bool trusted; /* winner comes from a copy not marked failed */
	bool split; /* two winners */
	struct {
		__u64 generation, checksum;
	} instance[DMR_COPIES]; /* of those that are valid */
};

void dmr_vote_init(struct dmr_vote *v);

/*
 * Count the instance of @copy, which dmr_table_check() found valid. Returns true if it is the
 * best so far and a caller that keeps only the best should keep it.
 */
bool dmr_vote_add(struct dmr_vote *v, const struct dmr_super *s, unsigned int copy,
		  const struct dmr_table *t);

/*
 * The tally over all initialised table blocks, in any order: notices rollback.
 *
 * A commit makes table blocks durable before the superblock that counts them, so
 * a crash may leave blocks newer than every superblock (the tail). They are adopted:
 * their data was stable before them. What such a block replaced stands in its
 * header, so that the digest can still be verified; a block older than the
 * superblock says is then never mistaken for a smaller table.
 */
struct dmr_tally {
	__u64 committed; /* digest as the superblock should have it */
	__u64 adopted; /* digest with the tail */
	__u64 newest; /* highest generation seen, superblock included */
	enum dmr_fault fault; /* first thing found wrong */
	bool tail; /* there are blocks newer than the superblock */
};

void dmr_tally_init(struct dmr_tally *t, const struct dmr_super *s);
void dmr_tally_add(struct dmr_tally *t, const struct dmr_super *s, __u32 index,
		   const struct dmr_vote *v);
/*
 * Look at @b, read from the place behind the last table block that @s counts, of any copy. A
 * remap is entered there only once a later superblock counts the block: if there is one, all
 * newer superblocks are gone, with what they say of the rest of the table. The digest can't
 * tell, if each counted block changed at most once since. Writers leave an empty block behind
 * the last one, so that nothing of an earlier set of the same UUID is met here.
 */
void dmr_tally_behind(struct dmr_tally *t, const struct dmr_super *s, const struct dmr_table *b);
/* DMR_OK, or why the table must not be used: DMR_LOST or DMR_SPLIT. */
enum dmr_fault dmr_tally_verdict(const struct dmr_tally *t, const struct dmr_super *s);

/*
 * Which of the copies in @left to mend next, when those in @whole are: one, another, and when two
 * are whole the others. What is not current may still be the only whole copy: a commit that was cut
 * short leaves new blocks here and there, and the version before where it has not been. Bit per
 * copy.
 */
unsigned int dmr_mend_next(unsigned int left, unsigned int whole);

#endif
