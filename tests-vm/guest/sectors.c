// SPDX-License-Identifier: GPL-2.0
/*
 * Reads or writes sectors of a device, past the page cache, and says how each request ended.
 *
 * sectors read|write [options] DEVICE SECTOR...
 *
 * What is written says of which sector and version it is, and `read` insists on it. Each request
 * that failed or read something else is a line "SECTOR: reason"; the exit status is 0 all the same.
 *
 * -v VERSION  of the data; 0 is zeroes (1)
 * -a          read: any data will do
 * -u SECTORS  the length of each request (1)
 * -q DEPTH    as many requests are submitted at once: neighbours become one request of the disk (1)
 * -n          none of them may wait: RWF_NOWAIT
 * -f          each is to be stable: RWF_DSYNC, which the block layer calls FUA
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SECTOR 512
#define MAGIC  0x73726f746365735full

/* What every sector written says of itself. The rest of it is drawn from this. */
struct record {
	uint64_t magic, sector, version;
};

union sector {
	struct record says;
	uint64_t words[SECTOR / sizeof(uint64_t)];
};

static struct {
	uint64_t version, unit, depth;
	bool write, any;
	int flags, device;
} opt = {.version = 1, .unit = 1, .depth = 1};

static uint64_t draw(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	return z ^ (z >> 27);
}

static void fill(union sector *s, uint64_t sector, uint64_t version)
{
	uint64_t random = version << 40 ^ sector;

	memset(s, 0, SECTOR);
	if (!version)
		return;
	for (size_t i = 0; i < SECTOR / sizeof(uint64_t); i++)
		s->words[i] = draw(&random);
	s->says = (struct record){MAGIC, sector, version};
}

static void check(const union sector *found, uint64_t sector)
{
	union sector wanted;

	fill(&wanted, sector, opt.version);
	if (opt.any || !memcmp(found, &wanted, SECTOR))
		return;
	if (found->says.magic == MAGIC)
		printf("%" PRIu64 ": holds version %" PRIu64 " of %" PRIu64 "\n", sector,
		       found->says.version, found->says.sector);
	else
		printf("%" PRIu64 ": holds other data\n", sector);
}

static struct iocb request(uint64_t sector, union sector *data)
{
	for (uint64_t i = 0; opt.write && i < opt.unit; i++)
		fill(&data[i], sector + i, opt.version);
	return (struct iocb){
		.aio_data = sector,
		.aio_fildes = opt.device,
		.aio_lio_opcode = opt.write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
		.aio_buf = (uintptr_t)data,
		.aio_nbytes = opt.unit * SECTOR,
		.aio_offset = sector * SECTOR,
		.aio_rw_flags = opt.flags,
	};
}

static void judge(const struct io_event *event)
{
	const struct iocb *iocb = (const void *)(uintptr_t)event->obj;
	const union sector *data = (const void *)(uintptr_t)iocb->aio_buf;
	uint64_t sector = event->data;

	if (event->res < 0)
		printf("%" PRIu64 ": %s\n", sector, strerror(-(int)event->res));
	else if ((uint64_t)event->res != iocb->aio_nbytes)
		printf("%" PRIu64 ": only %" PRId64 " bytes\n", sector, (int64_t)event->res);
	else
		for (uint64_t i = 0; !opt.write && i < opt.unit; i++)
			check(&data[i], sector + i);
}

/* Submits requests for `count` sectors in one system call and judges each. */
static void batch(aio_context_t context, char **sectors, uint64_t count, union sector *data)
{
	struct iocb iocbs[count], *all[count];
	struct io_event events[count];
	uint64_t done, sent;
	int64_t n;

	for (uint64_t i = 0; i < count; i++) {
		iocbs[i] = request(strtoull(sectors[i], NULL, 0), data + i * opt.unit);
		all[i] = &iocbs[i];
	}
	for (sent = 0; sent < count; sent += n) {
		n = syscall(SYS_io_submit, context, count - sent, all + sent);
		if (n <= 0)
			err(1, "io_submit");
	}
	for (done = 0; done < count; done += n) {
		n = syscall(SYS_io_getevents, context, 1, count - done, events, NULL);
		if (n <= 0)
			err(1, "io_getevents");
		for (int64_t i = 0; i < n; i++)
			judge(&events[i]);
	}
}

static void parse(int argc, char **argv)
{
	for (int c; (c = getopt(argc, argv, "v:u:q:nfa")) != -1;) {
		uint64_t number = optarg ? strtoull(optarg, NULL, 0) : 0;

		switch (c) {
		case 'v':
			opt.version = number;
			break;
		case 'u':
			opt.unit = number;
			break;
		case 'q':
			opt.depth = number;
			break;
		case 'n':
			opt.flags |= RWF_NOWAIT;
			break;
		case 'f':
			opt.flags |= RWF_DSYNC;
			break;
		case 'a':
			opt.any = true;
			break;
		default:
			exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	aio_context_t context = 0;
	char **sectors, **end;
	union sector *data;

	if (argc < 4 || (strcmp(argv[1], "read") && strcmp(argv[1], "write")))
		errx(2, "sectors read|write [options] DEVICE SECTOR..., see its source");
	opt.write = !strcmp(argv[1], "write");
	parse(argc - 1, argv + 1);
	sectors = argv + 1 + optind;
	end = argv + argc;
	if (sectors >= end || !opt.unit || !opt.depth)
		errx(2, "a device, sectors, and no zero, please");

	opt.device = open(*sectors++, (opt.write ? O_WRONLY : O_RDONLY) | O_DIRECT);
	if (opt.device < 0)
		err(1, "%s", sectors[-1]);
	data = aligned_alloc(4096, (opt.depth * opt.unit * SECTOR + 4095) / 4096 * 4096);
	if (!data || syscall(SYS_io_setup, opt.depth, &context))
		err(1, "cannot prepare");
	for (uint64_t count; sectors < end; sectors += count) {
		count = (uint64_t)(end - sectors) < opt.depth ? (uint64_t)(end - sectors) : opt.depth;
		batch(context, sectors, count, data);
	}
	return 0;
}
