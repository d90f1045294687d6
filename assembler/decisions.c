// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "decisions.h"
#include "journal.h"
#include "log.h"
#include "remembered.h"

#define LOCK_FILE DMREMAP_RUN_DIR "/lock"

/* Longer than it takes to mend a set's copies on a disk that is slow, and to activate it. */
#define LOCK_PATIENCE 60 /* seconds */

/* A spare that has answered when it came. Each event of any other device waits for it. */
#define PREVIEW_PATIENCE 5 /* seconds */

int decisions_lock(void)
{
	struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
	int fd;

	mkdir(DMREMAP_RUN_DIR, 0755);
	fd = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		log_error("cannot open " LOCK_FILE ": %s", strerror(errno));
		return -1;
	}
	for (unsigned int i = 0; flock(fd, LOCK_EX | LOCK_NB); i++) {
		if (errno != EWOULDBLOCK || i >= LOCK_PATIENCE * 10) {
			log_error("another dmremap holds " LOCK_FILE
				  "; try again when it has finished");
			close(fd);
			return -1;
		}
		nanosleep(&pause, NULL);
	}
	return fd;
}

int decisions_make(const struct inventory *inv, const struct policy *policy,
		   const char *const *wanted, size_t wanted_count, struct decision **decisions)
{
	struct active_set *active;
	int n = active_list_or_complain(&active);

	*decisions = NULL;
	if (n < 0)
		return -1;
	n = inventory_decide(inv, policy, active, n, wanted, wanted_count, decisions);
	free(active);
	return n;
}

/* True if @path, once a spare, is still there and belongs to no set that is active: these are not to be read again. */
static bool is_waiting(const char *path)
{
	struct stat st;
	uuid_t set;

	return !stat(path, &st) && !active_holder(st.st_rdev, set);
}

int decisions_preview(struct inventory *inv, const struct policy *policy, char *path,
		      struct decision **decisions)
{
	char **spares;
	int count = remembered(&spares);
	char **paths = calloc(count + 1, sizeof(*paths));
	bool is_spare = false;
	int n = 0;

	memset(inv, 0, sizeof(*inv));
	*decisions = NULL;
	for (int i = 0; paths && i < count; i++) {
		if (!strcmp(spares[i], path))
			is_spare = true;
		else if (is_waiting(spares[i]))
			paths[n++] = spares[i];
	}
	/* without a spare that waits there is nothing to decide */
	if (n || is_spare) {
		paths[n++] = path;
		inventory_read(inv, paths, n, PREVIEW_PATIENCE);
		n = decisions_make(inv, policy, NULL, 0, decisions);
	}
	free(paths);
	free_paths(spares, count);
	return n;
}

int decisions_carry_out(struct decision *d, const struct policy *policy, bool record, json_t *list)
{
	struct outcome o;
	char sentence[1024];
	json_t *entry;

	act(d, policy, &o);
	entry = journal_entry(d, &o);
	journal_sentence(entry, sentence, sizeof(sentence));
	if (list)
		json_array_append(list, entry);
	else
		puts(sentence);
	if (record)
		journal_write(entry, sentence, o.activated);
	json_decref(entry);
	return o.status;
}
