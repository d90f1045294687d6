// SPDX-License-Identifier: GPL-2.0
/*
 * Random reads, writes, discards, zeroes and flushes of a device, checked against oracle.h's model.
 *
 * oracle run    -s SEED -l LENGTH [options] -j JOURNAL DEVICE
 * oracle verify -s SEED -l LENGTH [options] -j JOURNAL [-c] DEVICE
 *
 * The device is blank at first. Each job goes on with adjacent pieces of a range at once, of any
 * size and alignment. While one has a sector no other writes it, but for some that do so at once
 * on purpose, so it is known what each may hold: what the last operation that succeeded has put
 * there, or one that failed after it, or is or was under way at the same time. A read that shows
 * something else ends the run with the history of the sector. I/O errors are allowed, and listed at
 * the end: whoever knows what was broken judges them.
 *
 * `verify` makes the model again from the journal and reads the whole device, after a removal, or
 * with -c after a power cut: then what no flush covered may be there or not.
 *
 * -b BYTES  the logical block (512)   -t JOBS  (4)
 * -n COUNT  each job does so many operations (1000), and then goes on until SIGTERM
 * -o        all writes may overlap, and every other one is FUA
 * -L        a flush that fails, also one behind a write, may take with it what it was for; there are many
 * -u        what an operation that failed has written may still come about, also after it was read
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "oracle.h"

#define LONGEST  (1u << 20) /* bytes of a batch */
#define PIECES   8
#define SEGMENTS 8
#define GRID     256

struct piece {
	struct event is;
	struct iovec segments[SEGMENTS];
	int segment_count;
};

struct job {
	uint64_t random;
	unsigned int number;
	int device;
	aio_context_t aio;
	uint32_t start, end; /* of the batch, in sectors */
	bool has_them; /* so that no other job has; under the lock */
	bool races; /* reads what others may write meanwhile */
	bool shares; /* writes what others that do so may write meanwhile */
	struct known *known; /* what was known of the sectors when the reads began */
	struct piece pieces[PIECES];
	unsigned int count; /* of pieces */
	char *memory[2], *data[2]; /* of even and of odd segments; at the end all is in data[0] */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t released = PTHREAD_COND_INITIALIZER;
static struct job *jobs;
static atomic_bool stopped;

static bool one_in(uint64_t *state, unsigned int n)
{
	return !(draw(state) % n);
}

static struct {
	int file;
	uint64_t pages;
	struct page page __attribute__((aligned(SECTOR)));
} journal;

static int open_directly(const char *path, int flags)
{
	struct stat info;
	int file;

	if (!stat(path, &info) && S_ISBLK(info.st_mode))
		flags |= O_DIRECT;
	file = open(path, flags, 0644);
	if (file < 0)
		err(2, "%s", path);
	return file;
}

static void write_page(void)
{
	union {
		struct page page;
		char bytes[SECTOR];
	} out __attribute__((aligned(SECTOR))) = {.page = journal.page};

	out.page.magic = MAGIC;
	out.page.seed = opt.seed;
	out.page.page = journal.pages;
	if (!out.page.count)
		return;
	if (pwrite(journal.file, &out, SECTOR, journal.pages++ * SECTOR) != SECTOR)
		err(2, "journal");
	journal.page.count = 0;
}

static void record(const struct event *e)
{
	const unsigned int room = sizeof(journal.page.events) / sizeof(*e);

	happens(e);
	journal.page.events[journal.page.count++] = *e;
	if (journal.page.count == room)
		write_page();
}

static void replay(void)
{
	union {
		struct page page;
		char bytes[SECTOR];
	} in __attribute__((aligned(SECTOR)));
	int file = open_directly(opt.journal, O_RDONLY);

	while (pread(file, &in, SECTOR, journal.pages * SECTOR) == SECTOR &&
	       page_happens(&in.page, journal.pages))
		journal.pages++;
	close(file);
}

static void *aligned(size_t size)
{
	void *memory = aligned_alloc(4096, size);

	if (!memory)
		err(2, "memory");
	return memory;
}

static char *data_of(const struct job *j, const struct piece *p)
{
	return j->data[0] + (p->is.start - j->start) * SECTOR;
}

/* Cuts the memory of a piece into segments, every other one of which is elsewhere. */
static void draw_segments(struct job *j, struct piece *p)
{
	size_t left = p->is.count * SECTOR, offset = data_of(j, p) - j->data[0];
	unsigned int most = p->is.flags & SEGMENTED ? SEGMENTS : 1;

	for (p->segment_count = 0; left; p->segment_count++) {
		size_t grains = left / opt.length_grain, size = left;

		if (p->segment_count + 1u < most && grains > 1)
			size = (1 + draw(&j->random) % (grains - 1)) * opt.length_grain;
		p->segments[p->segment_count] =
			(struct iovec){j->data[p->segment_count & 1] + offset, size};
		offset += size;
		left -= size;
	}
}

static void draw_piece(struct job *j, struct piece *p, uint32_t start, uint32_t count,
		       enum kind kind)
{
	p->is = (struct event){.start = start, .count = count, .kind = kind, .job = j->number};
	if (kind == WRITE && one_in(&j->random, opt.overlaps ? 2 : 8))
		p->is.flags |= FUA;
	if (one_in(&j->random, 16))
		p->is.flags |= NOWAIT;
	if (one_in(&j->random, 4))
		p->is.flags |= SEGMENTED;
	draw_segments(j, p);
}

/* Bad sectors are about multiples of GRID by preference, as the harness knows, and so are ends. */
static uint32_t draw_end(struct job *j, uint32_t block)
{
	uint32_t grid = GRID * SECTOR / opt.block, near = 2 + block - block % grid;

	near -= draw(&j->random) % 5;
	return (int32_t)near < 0 ? 0 : near;
}

/* Of each order of magnitude as many. */
static void draw_range(struct job *j)
{
	uint32_t unit = opt.block / SECTOR, blocks = opt.length / opt.block;
	uint32_t longest = (LONGEST / opt.block) >> draw(&j->random) % 12;
	uint32_t start = draw(&j->random) % blocks, end;

	if (one_in(&j->random, 3))
		start = draw_end(j, start);
	end = start + 1 + draw(&j->random) % (longest ?: 1);
	if (one_in(&j->random, 3))
		end = draw_end(j, end);
	if (end <= start)
		end = start + 1;
	if (end > blocks)
		end = blocks;
	j->start = start * unit;
	j->end = end * unit;
}

static void draw_pieces(struct job *j)
{
	uint32_t unit = opt.block / SECTOR, blocks = (j->end - j->start) / unit, count;
	uint64_t want = one_in(&j->random, 2) ? 1 : 1 + draw(&j->random) % PIECES;
	uint64_t mood = draw(&j->random) % 3;

	j->races = mood == READ && one_in(&j->random, 4);
	j->shares = mood == WRITE && one_in(&j->random, opt.overlaps ? 1 : 4);
	for (uint32_t start = j->start; blocks; start += count * unit, blocks -= count) {
		enum kind kind = mood < 2 ? mood : draw(&j->random) % 2;

		count = blocks;
		if (j->count + 1 < want && blocks > 1)
			count = 1 + draw(&j->random) % (blocks - 1);
		draw_piece(j, &j->pieces[j->count++], start, count * unit, kind);
	}
}

static void draw_batch(struct job *j)
{
	struct event *e = &j->pieces[0].is;
	uint64_t what = draw(&j->random) % 32;

	draw_range(j);
	for (int i = 0; i < 2; i++)
		j->data[i] = j->memory[i] +
			     draw(&j->random) % (4096 / opt.address_grain) * opt.address_grain;
	j->races = j->shares = false;
	j->count = 1;
	*e = (struct event){.start = j->start, .count = j->end - j->start, .job = j->number};
	if (what == 0 || (opt.losses && one_in(&j->random, 4))) {
		e->kind = FLUSH;
		j->start = j->end = e->start = e->count = 0;
	} else if (what == 1 || (what < 4 && !opt.discards)) {
		e->kind = ZEROES;
	} else if (what < 4) {
		e->kind = DISCARD;
	} else {
		j->count = 0;
		draw_pieces(j);
	}
}

static bool are_taken(const struct job *mine)
{
	for (const struct job *j = jobs; j < jobs + opt.jobs; j++)
		if (j->has_them && mine->start < j->end && mine->end > j->start &&
		    !(mine->shares && j->shares))
			return true;
	return false;
}

static void begin(struct job *j)
{
	pthread_mutex_lock(&lock);
	while (!j->races && are_taken(j))
		pthread_cond_wait(&released, &lock);
	j->has_them = !j->races;
	if (j->races)
		for (uint32_t s = j->start; s < j->end; s++)
			j->known[s - j->start] = *what_is_known(s);
	for (unsigned int i = 0; i < j->count; i++) {
		j->pieces[i].is.number = model.last + 1;
		j->pieces[i].is.phase = BEGINS;
		record(&j->pieces[i].is);
	}
	write_page();
	pthread_mutex_unlock(&lock);
}

/* Puts the data of the segments that are elsewhere there, or gets it from there. */
static void copy_far(struct job *j, const struct piece *p, bool get)
{
	char *near = data_of(j, p);

	for (int i = 0; i < p->segment_count; near += p->segments[i++].iov_len) {
		if (!(i & 1))
			continue;
		if (get)
			memcpy(near, p->segments[i].iov_base, p->segments[i].iov_len);
		else
			memcpy(p->segments[i].iov_base, near, p->segments[i].iov_len);
	}
}

static void prepare_data(struct job *j, const struct piece *p)
{
	union sector data;

	for (uint32_t i = 0; i < p->is.count; i++) {
		memset(&data, 0xa5, SECTOR); /* what is not read must not look right */
		if (p->is.kind == WRITE)
			fill(&data, p->is.number, p->is.start + i);
		memcpy(data_of(j, p) + i * SECTOR, &data, SECTOR);
	}
	copy_far(j, p, false);
}

static void set_result(struct piece *p, int64_t returned)
{
	if (returned < 0)
		p->is.result = -returned;
	else if (returned != (int64_t)p->is.count * SECTOR)
		p->is.result = EMSGSIZE; /* short: of a device there is no such thing */
	else
		p->is.result = 0;
}

static int rw_flags(const struct piece *p)
{
	return (p->is.flags & FUA ? RWF_DSYNC : 0) | (p->is.flags & NOWAIT ? RWF_NOWAIT : 0);
}

static void transfer(struct job *j, struct piece *p)
{
	ssize_t (*call)(int, const struct iovec *, int, off_t, int) =
		p->is.kind == WRITE ? pwritev2 : preadv2;
	ssize_t r = call(j->device, p->segments, p->segment_count, (off_t)p->is.start * SECTOR,
			 rw_flags(p));

	set_result(p, r < 0 ? -errno : r);
}

static void transfer_at_once(struct job *j)
{
	struct iocb control[PIECES] = {}, *list[PIECES];
	struct io_event done[PIECES];
	int sent, r;

	for (unsigned int i = 0; i < j->count; i++) {
		struct piece *p = &j->pieces[i];

		control[i] = (struct iocb){.aio_data = i,
					   .aio_lio_opcode = p->is.kind == WRITE ? IOCB_CMD_PWRITEV
										 : IOCB_CMD_PREADV,
					   .aio_fildes = j->device,
					   .aio_buf = (uintptr_t)p->segments,
					   .aio_nbytes = p->segment_count,
					   .aio_offset = (int64_t)p->is.start * SECTOR,
					   .aio_rw_flags = rw_flags(p)};
		list[i] = &control[i];
	}
	sent = syscall(SYS_io_submit, j->aio, j->count, list);
	if (sent != (int)j->count)
		err(2, "io_submit: %d of %u", sent, j->count);
	for (int left = sent; left; left -= r) {
		r = syscall(SYS_io_getevents, j->aio, left, left, done, NULL);
		if (r < 0)
			err(2, "io_getevents");
		for (int i = 0; i < r; i++)
			set_result(&j->pieces[done[i].data], done[i].res);
	}
}

static void control(struct job *j, struct event *e)
{
	uint64_t range[2] = {(uint64_t)e->start * SECTOR, (uint64_t)e->count * SECTOR};
	int r;

	if (e->kind == FLUSH)
		r = fsync(j->device);
	else
		r = ioctl(j->device, e->kind == ZEROES ? BLKZEROOUT : BLKDISCARD, range);
	e->result = r ? errno : 0;
}

static void issue(struct job *j)
{
	if (j->pieces[0].is.kind > WRITE) {
		control(j, &j->pieces[0].is);
		return;
	}
	for (unsigned int i = 0; i < j->count; i++)
		prepare_data(j, &j->pieces[i]);
	if (j->count == 1 && one_in(&j->random, 2))
		transfer(j, &j->pieces[0]);
	else
		transfer_at_once(j);
}

/*
 * The version found, or if it was being written, that of its beginning: disks tear no sectors,
 * but QEMU's may.
 */
static uint32_t version_read(const struct job *j, const union sector *found, uint32_t sector,
			     const struct known *known)
{
	uint32_t version = version_of(found, sector);

	if (version != GARBAGE || !j->races || model.sectors[sector].touched <= known->since)
		return version;
	if (!found->says.magic)
		return 0;
	return found->says.magic == MAGIC && found->says.sector == sector ? found->says.version
									  : GARBAGE;
}

static bool is_certain(const struct sector_state *s)
{
	return s->now.since == s->touched;
}

/* Under the lock. The device may be suspended, and who ends at once ends even so. */
static void check_sector(const struct job *j, const union sector *found, uint32_t sector)
{
	const struct known *known = j->races ? &j->known[sector - j->start] : what_is_known(sector);
	uint32_t version = version_read(j, found, sector, known);

	if (!may_hold(sector, version, known)) {
		print_violation(found, sector, version, known);
		fflush(stdout);
		_exit(1);
	}
	if (!j->races && !opt.unsettled && !opt.losses && !is_certain(&model.sectors[sector]))
		record(&(struct event){
			.phase = SAW, .start = sector, .count = 1, .result = version});
}

static void end(struct job *j)
{
	for (unsigned int i = 0; i < j->count; i++)
		if (j->pieces[i].is.kind == READ && !j->pieces[i].is.result)
			copy_far(j, &j->pieces[i], true);
	pthread_mutex_lock(&lock);
	for (unsigned int i = 0; i < j->count; i++) {
		struct piece *p = &j->pieces[i];

		p->is.phase = ENDED;
		record(&p->is);
		if (p->is.kind == READ && !p->is.result)
			for (uint32_t s = 0; s < p->is.count; s++)
				check_sector(j, (union sector *)data_of(j, p) + s, p->is.start + s);
	}
	write_page();
	j->has_them = false;
	pthread_cond_broadcast(&released);
	pthread_mutex_unlock(&lock);
}

static bool is_enough(uint64_t done)
{
	bool full;

	pthread_mutex_lock(&lock);
	full = model.last + (opt.jobs + 1) * PIECES > MOST;
	pthread_mutex_unlock(&lock);
	return full || (done >= opt.count && stopped);
}

static void *run_job(void *arg)
{
	struct job *j = arg;

	for (uint64_t done = 0; !is_enough(done); done += j->count) {
		draw_batch(j);
		begin(j);
		issue(j);
		end(j);
	}
	return NULL;
}

/* Whether a read into memory so aligned, in segments so long, is taken at all. */
static bool is_taken(int device, char *memory, unsigned int address, unsigned int length)
{
	struct iovec two[] = {{memory + address, length},
			      {memory + LONGEST / 2, 2 * opt.block - length}};

	return preadv(device, two, 2, 0) >= 0 || errno != EINVAL;
}

static void find_grains(int device, char *memory)
{
	opt.address_grain = opt.length_grain = 4;
	while (!is_taken(device, memory, opt.address_grain, opt.block))
		opt.address_grain *= 2;
	while (!is_taken(device, memory, 0, opt.length_grain))
		opt.length_grain *= 2;
}

static bool has_discards(const char *device)
{
	unsigned long long most = 0;
	struct stat info;
	char path[80];
	FILE *file;

	if (stat(device, &info))
		err(2, "%s", device);
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/queue/discard_max_bytes",
		 major(info.st_rdev), minor(info.st_rdev));
	file = fopen(path, "r");
	if (!file || fscanf(file, "%llu", &most) != 1)
		err(2, "%s", path);
	fclose(file);
	return most;
}

static void new_job(struct job *j, unsigned int number)
{
	j->number = number;
	j->random = opt.seed * 1000003 + number;
	j->device = open_directly(opt.device, O_RDWR);
	for (int i = 0; i < 2; i++)
		j->memory[i] = aligned(LONGEST + 4096);
	j->known = calloc(LONGEST / SECTOR, sizeof(*j->known));
	if (!j->known || syscall(SYS_io_setup, PIECES, &j->aio))
		err(2, "a job");
}

static void print_summary(void)
{
	unsigned int done[sizeof(kind_name) / sizeof(*kind_name)] = {}, failed = 0;

	for (uint32_t i = 1; i <= model.last; i++) {
		const struct event *e = &model.operations[i].is;

		done[e->kind]++;
		if (!e->result)
			continue;
		failed++;
		printf("failed %s %u %u %d%s\n", kind_name[e->kind], e->start, e->count, e->result,
		       e->flags & NOWAIT ? " nowait" : "");
	}
	for (size_t i = 0; i < sizeof(kind_name) / sizeof(*kind_name); i++)
		printf("%u %s, ", done[i], kind_name[i]);
	printf("%u failed, segments of %u at %u\n", failed, opt.length_grain, opt.address_grain);
}

static int run(void)
{
	pthread_t threads[opt.jobs];
	sigset_t stop;
	int signal;

	/* Only waited for, as it would interrupt the jobs. */
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	jobs = calloc(opt.jobs, sizeof(*jobs));
	journal.file = open_directly(opt.journal, O_RDWR | O_CREAT);
	opt.discards = has_discards(opt.device);
	for (unsigned int i = 0; i < opt.jobs; i++)
		new_job(&jobs[i], i);
	find_grains(jobs[0].device, jobs[0].memory[0]);
	for (unsigned int i = 0; i < opt.jobs; i++)
		if (pthread_create(&threads[i], NULL, run_job, &jobs[i]))
			errx(2, "cannot start a job");
	sigwait(&stop, &signal);
	stopped = true;
	for (unsigned int i = 0; i < opt.jobs; i++)
		pthread_join(threads[i], NULL);
	print_summary();
	return 0;
}

static int verify(void)
{
	int device = open_directly(opt.device, O_RDONLY);
	union sector *data = aligned(LONGEST);
	uint32_t bad = 0;

	replay();
	if (!model.last)
		errx(2, "%s is empty", opt.journal);
	for (uint64_t at = 0; at < opt.length; at += LONGEST) {
		ssize_t size = opt.length - at < LONGEST ? opt.length - at : LONGEST;

		if (pread(device, data, size, at) != size) {
			printf("bytes %" PRIu64 "+%zd: %s\n", at, size, strerror(errno));
			bad++;
			continue;
		}
		for (uint32_t i = 0; i < size / SECTOR; i++) {
			uint32_t sector = at / SECTOR + i, version = version_of(&data[i], sector);

			if (may_hold(sector, version, what_is_known(sector)))
				continue;
			if (bad++ < 3)
				print_violation(&data[i], sector, version, what_is_known(sector));
		}
	}
	printf("%u operations, %u bad\n", model.last, bad);
	return bad ? 1 : 0;
}

static void parse(int argc, char **argv)
{
	for (int c; (c = getopt(argc, argv, "s:l:b:t:n:j:couL")) != -1;) {
		uint64_t number = optarg ? strtoull(optarg, NULL, 0) : 0;

		switch (c) {
		case 's':
			opt.seed = number;
			break;
		case 'l':
			opt.length = number;
			break;
		case 'b':
			opt.block = number;
			break;
		case 't':
			opt.jobs = number;
			break;
		case 'n':
			opt.count = number;
			break;
		case 'j':
			opt.journal = optarg;
			break;
		case 'c':
			opt.after_cut = true;
			break;
		case 'o':
			opt.overlaps = true;
			break;
		case 'L':
			opt.losses = true;
			break;
		case 'u':
			opt.unsettled = true;
			break;
		default:
			exit(2);
		}
	}
	opt.device = argv[optind];
	if (!opt.device || !opt.journal || !opt.jobs || !opt.block || opt.length < opt.block)
		errx(2, "a device, its length and a journal, please");
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	if (argc > 1)
		parse(argc - 1, argv + 1);
	new_model();
	if (!strcmp(command, "verify"))
		return verify();
	if (strcmp(command, "run"))
		errx(2, "oracle run|verify, see its source");
	return run();
}
