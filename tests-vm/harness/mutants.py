# SPDX-License-Identifier: GPL-2.0
"""
Deliberate mistakes, each in a scratch copy of the sources, and what has to see it: a campaign that does
not would not see the same mistake in earnest.
"""

from random import Random

from .campaigns import PromiseBroken, campaign
from .errors import GuestError, TimedOut
from .kernels import lane
from .mutation import Mutant, campaigns_with
from .programs import PROGRAMS
from .workloads import record

IN_BOTH = ("kernel/format.c", "kernel/format.h", "kernel/vote.c", "kernel/vote.h")


def seen_by(mutant, tree, folder, seed):
    """What has seen the mistake, None if nothing has: a campaign, or the guest of one before its end."""
    programs = None
    in_kernel = (mutant,) if mutant.file.startswith("kernel/") else ()
    if mutant.file.startswith("assembler/") or mutant.file in IN_BOTH:
        programs = campaigns_with(mutant, folder / "programs")
    for name in mutant.seen_by:
        try:
            if name == "corruptions":
                campaign(name, "--seed", seed, "--count", 20000, folder=programs)
                continue
            recorded = record(name, lane(tree, "bookworm", PROGRAMS), Random(seed), folder / name, changes=in_kernel)
            recorded.judge(seed, states=20, flush_states=50, folder=programs)
        except PromiseBroken:
            return name
        except TimedOut:
            continue  # a busy host is no reason
        except (AssertionError, GuestError) as error:
            said, _, _ = str(error).partition("\n")
            return f"{name}, in the guest: {said}"
    return None


MUTANTS = (
    # --- the order of a commit ---
    Mutant("no flush of the metadata", "kernel/store_io.c",
           "return dmr_store_settle(s, w->lost);", "return 0;"),
    Mutant("no flush of the data before its entries", "kernel/batch.c",
           "int r = dmr_store_settle(s, b->lost);", "int r = 0;"),
    Mutant("table blocks to all copies in one wave", "kernel/store_commit.c",
           "u8 next = lowest(dmr_good_copies(s) & ~*lead, *lead ? 1 : half(s));",
           "u8 next = dmr_good_copies(s) & ~*lead;"),
    Mutant("superblocks to all copies in one wave", "kernel/store_commit.c",
           "next = lowest(next & lead ? next & lead : next, half(s));", "lead = next;"),
    Mutant("a superblock before its table blocks", "kernel/store_commit.c",
           "	r = write_lead(s, &lead);\n	if (!r) {\n		seal_super(s, s->generation);\n",
           "	lead = lowest(dmr_good_copies(s), 2);\n	r = 0;\n	if (!r) {\n		seal_super(s, s->generation);\n"
           "		write_wave(s, 0, lead);\n		r = write_lead(s, &lead);\n	}\n	if (!r) {\n"),
    Mutant("no commit at all", "kernel/batch.c",
           "		return dmr_store_commit(s);\n", "		return 0;\n"),
    Mutant("writes end before their commit", "kernel/relocate.c",
           "	r = dmr_batch_end(&b);\n	while ((bio = bio_list_pop(&done))) {",
           "	r = 0;\n	while ((bio = bio_list_pop(&done))) {"),
    Mutant("published before it is committed", "kernel/batch.c",
           "	int r = b->moved ? commit(b) : 0;\n",
           "	int r;\n\n	dmr_update_publish(&b->update);\n	schedule_timeout_uninterruptible(HZ / 10);\n"
           "	r = b->moved ? commit(b) : 0;\n", ("overlaps",)),
    Mutant("what a block replaces is not told", "kernel/store_commit.c",
           "		h->previous = h->generation;\n", ""),
    Mutant("the digest stays as it was", "kernel/store_commit.c",
           "	s->super->digest = cpu_to_le64(digest);\n}\n\n/*\n * Write the changed", "}\n\n/*\n * Write the changed"),
    Mutant("changed blocks keep their generation", "kernel/store_commit.c",
           "		h->generation = cpu_to_le64(generation);\n", ""),
    Mutant("a superblock keeps its generation", "kernel/store_commit.c",
           "	s->super->header.generation = cpu_to_le64(generation);\n", ""),
    Mutant("new blocks are not written before they count", "kernel/store_format.c",
           "	r = write_new_tables(s, old, generation, dmr_good_copies(s) | s->joining);\n", "", ("growth",)),
    Mutant("new blocks are not in the digest", "kernel/store_format.c",
           "			digest += dmr_digest(i + 1, generation);\n", "			;\n", ("growth",)),
    # --- places ---
    Mutant("a place is given out twice", "kernel/store.c",
           "			WRITE_ONCE(s->cursor, *start + run);\n", ""),
    Mutant("places of the last time are given out again", "kernel/store_load.c",
           "		s->cursor = le64_to_cpu(entry[n - 1].spare) + le32_to_cpu(entry[n - 1].sectors);\n",
           "		s->cursor = le64_to_cpu(entry[n - 1].spare);\n"),
    Mutant("an entry leads to the next sector", "kernel/batch.c",
           "		dmr_store_add(s, main, spare, sectors, 0);\n",
           "		dmr_store_add(s, main, spare + 1, sectors, 0);\n"),
    Mutant("an entry is a sector short", "kernel/store.c",
           "	dmr_table_insert(s->table[s->fill], main, spare, sectors, flags);\n",
           "	dmr_table_insert(s->table[s->fill], main, spare, sectors > 1 ? sectors - 1 : 1, flags);\n"),
    # --- flushes of what was moved ---
    Mutant("the spare is taken to be clean", "kernel/target.h", "atomic64_inc(&t->flush.written);", ";"),
    Mutant("a flush is not for the spare", "kernel/flush.c",
           "	if (io->on_spare && io->written == atomic64_read(&t->flush.flushed) &&\n"
           "	    !((READ_ONCE(t->flush.failed) | READ_ONCE(t->flush.distrusted)) & DMR_SPARE)) {",
           "	if (io->on_spare) {"),
    Mutant("what was written with FUA is not made stable", "kernel/flush.c",
           "	io->behind |= on_spare ? DMR_SPARE : DMR_MAIN;\n", ""),
    Mutant("a loss while something moves is not noticed", "kernel/store_io.c",
           "	if (!r && dmr_store_lost(s) != lost)\n		r = -EIO;\n", "", ("failed flushes",)),
    # --- copies brought level ---
    Mutant("copies are mended all at once", "kernel/vote.c",
           "	return count < DMR_SAFE_COPIES ? left & -left : left;", "	return left;"),
    Mutant("a digest from before the last commit", "kernel/store_level.c",
           "	s->super->digest = cpu_to_le64(l->tally.adopted);\n",
           "	s->super->digest = cpu_to_le64(l->tally.committed - 1);\n", ("repairs",)),
    Mutant("table blocks are not brought level", "kernel/store_level.c",
           "	return (s->no_repair ? d->stale : d->stale | d->invalid) & ~s->bad_copies;",
           "	return d->stale & ~s->bad_copies;", ("repairs",)),
    Mutant("a repair writes what was read last", "kernel/store_look.c",
           "	return index ? (void *)s->table[index - 1] : s->super;\n}\n\nstatic bool is_sound",
           "	return index ? (void *)s->table[index > 1 ? index - 2 : 0] : s->super;\n}\n\nstatic bool is_sound",
           ("repairs",)),
    Mutant("a repair writes over good blocks", "kernel/store_look.c",
           "			differ |= 1U << i;\n	return differ;", "			differ = ~0U >> (32 - l->count);\n	return differ;",
           ("repairs",)),
    # --- moves to another spare ---
    Mutant("the old spare is not superseded", "kernel/takeover.c",
           "		told = dmr_store_set_state(old, DMR_STATE_SUPERSEDED, new->super->spare_uuid);\n",
           "		told = 0;\n", ("migration",)),
    Mutant("the new spare is not flushed", "kernel/takeover.c",
           "		r = dmr_store_settle(&to->store, t->migration.lost_flushes);\n", "		r = 0;\n", ("migration",)),
    Mutant("the new table is not committed", "kernel/takeover.c",
           "	return r ? r : dmr_store_commit(&to->store);\n", "	return r;\n", ("migration",)),
    Mutant("what was written meanwhile is not copied", "kernel/takeover.c",
           "	int r = copy_rest(t);\n", "	int r = 0;\n", ("migration",)),
    Mutant("writes go on while the spare changes", "kernel/takeover.c",
           "	dmr_hold(t, all);\n	dmr_drain_writers(t);\n",
           "	all->start = all->end = 0;\n	dmr_hold(t, all);\n", ("migration",)),
    # --- what is valid, and what wins ---
    Mutant("no checksum", "kernel/format.c",
           "	if (le64_to_cpu(t->checksum) != checksum(block))\n		return DMR_BAD_CHECKSUM;\n", "", ("corruptions",)),
    Mutant("a checksum of the first half", "kernel/format.c",
           "	return xxh64(block, CHECKED_BYTES, 0);", "	return xxh64(block, CHECKED_BYTES / 2, 0);", ("corruptions",)),
    Mutant("a block may be of another set", "kernel/format.c",
           "	if (memcmp(t->header.uuid, s->header.uuid, DMR_UUID_SIZE))\n		return DMR_BAD_UUID;\n", "",
           ("corruptions",)),
    Mutant("a block may be anywhere", "kernel/format.c",
           "	if (le32_to_cpu(h->index) != index)\n		return DMR_BAD_INDEX;\n", "", ("corruptions",)),
    Mutant("anything behind the entries", "kernel/format.c",
           "	if (!all_zero(&t->entry[count], (DMR_BLOCK_ENTRIES - count) * sizeof(t->entry[0])))\n"
           "		return DMR_BAD_RESERVED;\n", "", ("corruptions",)),
    Mutant("entries in any order", "kernel/format.c",
           "			return DMR_BAD_ORDER;\n", "			continue;\n", ("corruptions",)),
    Mutant("entries may lead into the metadata", "kernel/format.c",
           "	if (!dmr_is_data(l, spare, sectors))\n		return DMR_BAD_SPARE_RANGE;\n", "", ("corruptions",)),
    Mutant("entries may be outside of main", "kernel/format.c",
           "	if (!sectors || main >= length || sectors > length - main)\n", "	if (!sectors)\n", ("corruptions",)),
    Mutant("places need not be those of the size", "kernel/format.c",
           "		if (le64_to_cpu(s->copy_sector[i]) != l.copy_sector[i])\n			return DMR_BAD_GEOMETRY;\n", "		;\n",
           ("corruptions",)),
    Mutant("a spare may be shorter than it says", "kernel/format.c",
           "	if (l.sectors > device_sectors)\n		return DMR_TRUNCATED;\n", "", ("corruptions",)),
    Mutant("reserved bytes may be anything", "kernel/format.c",
           "	     !all_zero(s->reserved, sizeof(s->reserved))))\n", "	     0))\n", ("corruptions",)),
    Mutant("any state", "kernel/format.c",
           "	if (le32_to_cpu(s->state) > DMR_STATE_INCOMING ||\n", "	if (\n", ("corruptions",)),
    Mutant("the oldest superblock wins", "kernel/vote.c",
           "le64_to_cpu(s[i]->header.generation) > top)", "(!top || le64_to_cpu(s[i]->header.generation) < top))",
           ("corruptions",)),
    Mutant("the oldest table block wins", "kernel/vote.c",
           "(trusted == v->trusted && generation > v->generation)", "(trusted == v->trusted && generation < v->generation)",
           ("corruptions",)),
    Mutant("a copy that is given up votes", "kernel/vote.c",
           "	bool trusted = !(le32_to_cpu(s->failed_copies) & 1u << copy);\n", "	bool trusted = true;\n",
           ("corruptions",)),
    Mutant("the first of two that differ wins", "kernel/vote.c",
           "	if (level && sum != v->checksum)\n		v->split = true;\n", "", ("corruptions",)),
    Mutant("what the last superblocks counted is forgotten", "kernel/vote.c",
           "		t->fault = DMR_LOST;\n}\n\nenum", "		;\n}\n\nenum", ("corruptions",)),
    Mutant("an old version passes for a smaller table", "kernel/vote.c",
           "	return t->committed == le64_to_cpu(s->digest) ? DMR_OK : DMR_LOST;", "	return DMR_OK;", ("corruptions",)),
    Mutant("blocks newer than the superblock are not adopted", "kernel/vote.c",
           "	t->committed += dmr_digest(index, newer ? v->previous : v->generation);",
           "	t->committed += dmr_digest(index, v->generation);", ("corruptions", "bursts")),
    Mutant("extents may overlap", "kernel/format.c",
           "		return sb - sa < le32_to_cpu(a->sectors);\n	return sa - sb < le32_to_cpu(b->sectors);",
           "		return false;\n	return false;", ("corruptions",)),
    # --- dmremap ---
    Mutant("dmremap: no flush after superblocks", "assembler/mend.c",
           "	if (blocks_flush(fd)) {", "	if (true) {", ("corruptions",)),
    Mutant("dmremap: superblocks in one wave", "assembler/mend.c",
           "k < DMR_COPIES && taken < good / 2; k++", "k < DMR_COPIES && taken < good; k++",
           ("corruptions",)),
    Mutant("dmremap: a repair from a stale copy", "assembler/mend.c",
           "		if (c->current[index] & 1u << k &&\n", "		if (\n", ("corruptions",)),
    Mutant("dmremap: a copy with a bad superblock passes for whole", "assembler/mend.c",
           "			failed |= level_supers(c, next & ~failed);\n", "			;\n", ("bursts", "migration")),
    Mutant("dmremap: the digest stays as it was", "assembler/mend.c",
           "	s->digest = cpu_to_le64(c->tally.adopted);\n", "", ("corruptions",)),
    Mutant("dmremap: a repair keeps the generation", "assembler/mend.c",
           "#define GENERATION_STEP 2", "#define GENERATION_STEP 0", ("corruptions",)),
    Mutant("dmremap: a repair writes over good blocks", "assembler/mend.c",
           "	unsigned int mask = ~c->current[index] & wanted;", "	unsigned int mask = wanted;", ("corruptions",)),
    Mutant("dmremap: a repair leaves the tables", "assembler/mend.c",
           "	r->failed = mend_in_turn(c, &r->blocks);", "	r->failed = 0;", ("corruptions",)),
    Mutant("dmremap: extents may overlap", "assembler/copies.c",
           "	if (fault == DMR_OK)\n		fault = check_overlaps(c);\n", "	if (fault == DMR_OK)\n		check_overlaps(c);\n",
           ("corruptions",)),
    Mutant("dmremap: a larger device is not searched", "assembler/copies.c",
           "			if (hint && is_new(size, sizes, hint))\n", "			if (hint && 0)\n", ("corruptions",)),
    Mutant("dmremap: a torn superblock tells nothing", "kernel/format.c",
           "	return s->header.magic == cpu_to_le64(DMR_MAGIC_SUPER) ?",
           "	return s->header.magic == cpu_to_le64(DMR_MAGIC_SUPER) && dmr_super_check(s, ~0ULL) == DMR_OK ?",
           ("corruptions",)),
    Mutant("dmremap: a spare is used before it took over", "assembler/succession.c",
           "	       (spare_in_state(s, DMR_STATE_INCOMING) && !spare_replaced(in, s));", "	       false;", ("migration",)),
    Mutant("dmremap: a spare that was replaced is used", "assembler/succession.c",
           "	return spare_in_state(s, DMR_STATE_SUPERSEDED) ||\n", "	return false ||\n", ("migration",)),
)
