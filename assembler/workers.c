// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "workers.h"

#define FIRST_WORKERS 8
#define STALL_MS      50 /* without a result, after which there are twice as many */

/* What all of them see: this, then the results. */
struct board {
	atomic_size_t next; /* item that nobody has begun */
	struct progress {
		atomic_uint heard; /* how often something was heard of the item; 0 = not begun */
		atomic_bool done;
	} item[];
};

static struct progress *at_work; /* on this item, if this is a worker */

/* What the one who waits remembers of an item. */
struct attention {
	unsigned int heard;
	long long since; /* ms */
};

struct workers {
	size_t count, size;
	work_fn *work;
	const void *context;
	struct board *board;
	size_t board_size;
	char *results; /* on the board */
	int told; /* a byte arrives here with each result */
	int tell;
	size_t missing;
	pid_t *pid;
	size_t hired;
	struct attention *attention; /* to each item */
};

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static bool board_init(struct workers *w)
{
	size_t flags = sizeof(struct board) + w->count * sizeof(struct progress);
	size_t results;

	flags = (flags + 63) / 64 * 64;
	if (__builtin_mul_overflow(w->count, w->size, &results) ||
	    __builtin_add_overflow(results, flags, &w->board_size))
		return false;
	w->board = mmap(NULL, w->board_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			0);
	if (w->board == MAP_FAILED)
		return false;
	w->results = (char *)w->board + flags;
	return true;
}

/*
 * Nothing that others wait for may stay open in a worker that hangs: a lock, or the end of a pipe that
 * the output of this program goes to.
 */
static bool let_go(int *tell)
{
	int null = open("/dev/null", O_RDWR);

	*tell = fcntl(*tell, F_DUPFD, 3);
	if (null < 0 || *tell < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL))
		return false;
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	*tell = dup2(*tell, 3);
	return *tell == 3 && !close_range(4, ~0U, 0);
}

void workers_alive(void)
{
	if (at_work)
		atomic_fetch_add(&at_work->heard, 1);
}

static void __attribute__((noreturn)) work(struct workers *w)
{
	int tell = w->tell;
	size_t i;

	if (!let_go(&tell))
		_exit(1);
	while ((i = atomic_fetch_add(&w->board->next, 1)) < w->count) {
		at_work = &w->board->item[i];
		workers_alive();
		w->work(i, w->results + i * w->size, w->context);
		atomic_store(&at_work->done, true);
		if (write(tell, "", 1) != 1)
			_exit(1);
	}
	_exit(0);
}

/* Start up to @more workers, as long as there are items for them; fewer, with errno, if there is no room for them. */
static void hire(struct workers *w, size_t more)
{
	for (; more && w->hired < w->count && atomic_load(&w->board->next) < w->count; more--) {
		pid_t pid = fork();

		if (!pid)
			work(w);
		if (pid < 0)
			return;
		w->pid[w->hired++] = pid;
	}
}

struct workers *workers_start(size_t count, size_t size, work_fn *work_on, const void *context)
{
	struct workers *w = calloc(1, sizeof(*w));
	int ends[2];

	if (!w)
		return NULL;
	*w = (struct workers){.count = count,
			      .size = (size + 63) / 64 * 64,
			      .work = work_on,
			      .context = context,
			      .told = -1,
			      .tell = -1};
	w->pid = calloc(count + 1, sizeof(*w->pid));
	w->attention = calloc(count + 1, sizeof(*w->attention));
	if (!w->pid || !w->attention || !board_init(w) || pipe2(ends, O_CLOEXEC))
		goto fail;
	w->told = ends[0];
	w->tell = ends[1];
	hire(w, FIRST_WORKERS);
	if (w->hired || !count)
		return w;
fail:
	workers_end(w);
	return NULL;
}

/* Count the results that are missing. Returns whether there is hope for one: something was heard of it not long ago. */
static bool look_at_board(struct workers *w, unsigned int patience)
{
	const long long now = now_ms();
	bool hope = false;

	w->missing = 0;
	for (size_t i = 0; i < w->count; i++) {
		struct attention *a = &w->attention[i];
		unsigned int heard = atomic_load(&w->board->item[i].heard);

		if (atomic_load(&w->board->item[i].done))
			continue;
		if (heard != a->heard || !a->since)
			*a = (struct attention){.heard = heard, .since = now};
		w->missing++;
		hope |= now - a->since < patience * 1000LL;
	}
	return hope;
}

/* Those that hang are on none of the items that are left: others take these. */
size_t workers_wait(struct workers *w, unsigned int patience)
{
	struct pollfd told = {.fd = w->told, .events = POLLIN};
	char bytes[512];

	while (look_at_board(w, patience)) {
		int n = poll(&told, 1, STALL_MS);

		if (!n)
			hire(w, w->hired);
		if (n > 0 && read(w->told, bytes, sizeof(bytes)) <= 0)
			break;
	}
	return w->missing;
}

void *workers_result(const struct workers *w, size_t item)
{
	return atomic_load(&w->board->item[item].done) ? w->results + item * w->size : NULL;
}

void workers_end(struct workers *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->hired; i++) {
		kill(w->pid[i], SIGKILL);
		waitpid(w->pid[i], NULL, w->missing ? WNOHANG : 0);
	}
	if (w->told >= 0)
		close(w->told);
	if (w->tell >= 0)
		close(w->tell);
	if (w->board && w->board != MAP_FAILED)
		munmap(w->board, w->board_size);
	free(w->attention);
	free(w->pid);
	free(w);
}
