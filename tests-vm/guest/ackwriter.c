// SPDX-License-Identifier: GPL-2.0
/*
 * Writes whose acknowledgement outlives a power cut, and the check that none was lost.
 *
 * ackwriter write  -s SEED -l LENGTH [options] -m MARK-DEVICE TARGET
 * ackwriter verify -s SEED -l LENGTH [options] TARGET ACKNOWLEDGED...
 *
 * `write` overwrites random places of a file or device, makes each write stable
 * and then puts its number on the mark device: sector T for thread T. `verify`
 * is given the last number marked by each thread and repeats the same random
 * plan to know what every sector must hold: the newest acknowledged write, or
 * the one after it, which may have been under way.
 *
 * -o OFFSET   where the area starts        -l LENGTH  how long it is, in bytes
 * -t THREADS  each has its share of it     -b BYTES   writes are multiples of this (4096)
 * -x BLOCKS   the longest write (16)       -n COUNT   stop after so many writes a thread
 * -d          O_DIRECT                     -F         no flush: acknowledges too early
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR 512
#define MAGIC  0x3172657469726b63ull

static struct {
	uint64_t seed, offset, length, block, longest, count;
	unsigned int threads;
	bool direct, no_flush;
	const char *target, *mark;
} opt = {.block = 4096, .longest = 16, .threads = 1};

/* What every sector written says of itself. The rest of it is drawn from this. */
struct record {
	uint64_t magic, seed, thread, number, sector;
};

union sector {
	struct record says;
	uint64_t words[SECTOR / sizeof(uint64_t)];
};

/* A thread's plan: its random numbers, its part of the area, its next write. */
struct plan {
	uint64_t random, thread, number;
	uint64_t first, sectors; /* the thread's part of the area */
	uint64_t start, end; /* the write, in sectors of the area */
};

static uint64_t draw(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static struct plan new_plan(uint64_t thread)
{
	uint64_t blocks = opt.length / opt.block / opt.threads;
	uint64_t sectors = blocks * (opt.block / SECTOR);

	return (struct plan){.random = opt.seed * 1000003 + thread,
			     .thread = thread,
			     .first = thread * sectors,
			     .sectors = sectors};
}

static void next_write(struct plan *p)
{
	uint64_t unit = opt.block / SECTOR, blocks = p->sectors / unit;
	uint64_t start = draw(&p->random) % blocks;
	uint64_t count = 1 + draw(&p->random) % opt.longest;

	if (count > blocks - start)
		count = blocks - start;
	p->number++;
	p->start = p->first + start * unit;
	p->end = p->start + count * unit;
}

static void fill(union sector *s, uint64_t thread, uint64_t number, uint64_t sector)
{
	uint64_t random = opt.seed ^ (number << 32) ^ sector;

	for (size_t i = 0; i < SECTOR / sizeof(uint64_t); i++)
		s->words[i] = draw(&random);
	s->says = (struct record){MAGIC, opt.seed, thread, number, sector};
}

static void *aligned(size_t size)
{
	void *memory = aligned_alloc(4096, (size + 4095) / 4096 * 4096);

	if (!memory)
		err(1, "memory");
	return memory;
}

static void *write_and_mark(void *thread)
{
	struct plan p = new_plan((uintptr_t)thread);
	union sector *data = aligned(opt.longest * opt.block), *mark = aligned(SECTOR);
	int target = open(opt.target, O_WRONLY | O_CREAT | (opt.direct ? O_DIRECT : 0), 0644);
	int marks = open(opt.mark, O_WRONLY | O_DIRECT);

	if (target < 0 || marks < 0)
		err(1, "%s", target < 0 ? opt.target : opt.mark);
	while (!opt.count || p.number < opt.count) {
		next_write(&p);
		ssize_t size = (p.end - p.start) * SECTOR;

		for (uint64_t s = p.start; s < p.end; s++)
			fill(&data[s - p.start], p.thread, p.number, s);
		if (pwrite(target, data, size, opt.offset + p.start * SECTOR) != size)
			err(1, "write %" PRIu64 " at byte %" PRIu64, p.number, p.start * SECTOR);
		if (!opt.no_flush && fdatasync(target))
			err(1, "fdatasync after write %" PRIu64, p.number);
		fill(mark, p.thread, p.number, p.thread);
		if (pwrite(marks, mark, SECTOR, p.thread * SECTOR) != SECTOR)
			err(1, "mark");
	}
	return NULL;
}

static void write_all(void)
{
	pthread_t threads[opt.threads];

	for (uintptr_t i = 0; i < opt.threads; i++)
		if (pthread_create(&threads[i], NULL, write_and_mark, (void *)i))
			errx(1, "cannot start a thread");
	for (unsigned int i = 0; i < opt.threads; i++)
		pthread_join(threads[i], NULL);
}

/* Whether a sector holds what write `number` put there. */
static bool holds(const union sector *found, uint64_t thread, uint64_t number, uint64_t sector)
{
	union sector wanted;

	fill(&wanted, thread, number, sector);
	return !memcmp(found, &wanted, SECTOR);
}

/* Checks one thread's part; returns the number of bad sectors. */
static uint64_t verify_thread(int target, uint64_t thread, uint64_t acknowledged)
{
	struct plan p = new_plan(thread);
	uint64_t *newest = calloc(p.sectors, sizeof(*newest)), bad = 0, checked = 0;
	union sector found;

	while (p.number < acknowledged) {
		next_write(&p);
		for (uint64_t s = p.start; s < p.end; s++)
			newest[s - p.first] = p.number;
	}
	next_write(&p); /* the one that may have been under way */
	for (uint64_t s = p.first; s < p.first + p.sectors; s++) {
		uint64_t wanted = newest[s - p.first];
		bool under_way = s >= p.start && s < p.end;

		if (!wanted)
			continue;
		if (pread(target, &found, SECTOR, opt.offset + s * SECTOR) != SECTOR)
			memset(&found, 0, SECTOR);
		checked++;
		if (holds(&found, thread, wanted, s) ||
		    (under_way && holds(&found, thread, p.number, s)))
			continue;
		if (bad++ < 10)
			printf("sector %" PRIu64 ": write %" PRIu64 " of thread %" PRIu64
			       " is not there, found %s %" PRIu64 "\n",
			       s, wanted, thread, found.says.magic == MAGIC ? "write" : "no record",
			       found.says.magic == MAGIC ? found.says.number : 0);
	}
	printf("thread %" PRIu64 ": %" PRIu64 " writes acknowledged, %" PRIu64
	       " sectors checked, %" PRIu64 " lost\n",
	       thread, acknowledged, checked, bad);
	free(newest);
	return bad;
}

static int verify_all(char **acknowledged)
{
	int target = open(opt.target, O_RDONLY);
	uint64_t bad = 0;

	if (target < 0)
		err(2, "%s", opt.target);
	for (unsigned int i = 0; i < opt.threads; i++) {
		if (!acknowledged[i])
			errx(2, "one number for each thread, please");
		bad += verify_thread(target, i, strtoull(acknowledged[i], NULL, 0));
	}
	return bad ? 1 : 0;
}

static void parse(int argc, char **argv)
{
	for (int c; (c = getopt(argc, argv, "s:o:l:t:b:x:n:m:dF")) != -1;) {
		uint64_t number = optarg ? strtoull(optarg, NULL, 0) : 0;

		switch (c) {
		case 's':
			opt.seed = number;
			break;
		case 'o':
			opt.offset = number;
			break;
		case 'l':
			opt.length = number;
			break;
		case 't':
			opt.threads = number;
			break;
		case 'b':
			opt.block = number;
			break;
		case 'x':
			opt.longest = number;
			break;
		case 'n':
			opt.count = number;
			break;
		case 'm':
			opt.mark = optarg;
			break;
		case 'd':
			opt.direct = true;
			break;
		case 'F':
			opt.no_flush = true;
			break;
		default:
			exit(2);
		}
	}
	opt.target = argv[optind];
	if (!opt.target || !opt.threads || opt.length < opt.block * opt.threads)
		errx(2, "a target and a length of at least a block a thread, please");
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	if (argc > 1)
		parse(argc - 1, argv + 1);
	if (!strcmp(command, "verify"))
		return verify_all(&argv[optind + 2]);
	if (strcmp(command, "write") || !opt.mark)
		errx(2, "ackwriter write|verify, see its source");
	write_all();
	return 0;
}
