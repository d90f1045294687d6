// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every state that a power cut may leave, judged.
 *
 * crash_states RECORD --main N --spare N [--spare N] [--journal N] [options]
 *
 * A record is played again, and after each operation the power goes: so many times as is said, each
 * time another part of what no flush covered is left. Numbers are those of the record's disks.
 *
 * --oracle SEED      of the oracle, whose journal is on a disk that has no write cache
 * --losses           flushes failed, and took with them what they were for
 * --seed N           what to draw everything from
 * --states N         states after each operation (1)
 * --flush-states N   states before a flush, and another so many when it is done (1)
 * --alone N          so many copies must do alone, were the others lost; looked at in some states
 * --keep FOLDER      keep some of the states that have to be mended there, see keep.h
 * --kept N           so many (4)
 * --only OPERATION   judge those after this one alone, and say what was done
 *
 * The state that breaks a promise is told, with the seed and the operation that show it again, and
 * the exit status is 1. At the end what was done is told as a JSON object.
 */
#include <err.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "judge.h"
#include "keep.h"
#include "truth.h"

#define MAX_DISKS 8
#define NOBODY    MAX_DISKS

static struct {
	const char *record, *keep;
	unsigned int main, spare[MAX_SPARES], journal;
	unsigned int spares, states, flush_states, kept;
	uint64_t oracle, seed, only;
	bool losses;
} opt = {.main = NOBODY, .journal = NOBODY, .states = 1, .flush_states = 1, .kept = 4};

static struct disk disks[MAX_DISKS];
static struct judge judge;
static uint64_t number; /* of the operation, from 1 */
static uint64_t states, flushes, losses;

static bool judge_one(unsigned int which)
{
	uint64_t random = opt.seed ^ number << 20 ^ which;

	random_next(&random);
	disk_lose_power(&disks[opt.main], &random);
	for (unsigned int i = 0; i < judge.spares; i++)
		disk_lose_power(judge.spare[i], &random);
	states++;
	if (!judge_state(&judge, &random)) {
		printf("crash_states: --seed %" PRIu64 " --only %" PRIu64 "\n", opt.seed, number);
		return false;
	}
	judge_restore(&judge);
	disk_restore(&disks[opt.main]);
	return true;
}

static bool judge_some(unsigned int first, unsigned int count)
{
	if (opt.only && opt.only != number)
		return true;
	for (unsigned int i = first; i < first + count; i++)
		if (!judge_one(i))
			return false;
	return true;
}

static bool play(const struct request *req, const void *data)
{
	struct disk *d = &disks[req->disk];

	if (req->kind == RECORD_MARK) {
		judge.made |= req->length == strlen("made") && !memcmp(data, "made", req->length);
		return true;
	}
	if (req->disk >= MAX_DISKS || !d->path)
		return true; /* nobody's */
	disk_receive(d, req, data);
	if (req->disk == opt.journal) {
		truth_journal(data, req->length);
		return true;
	}
	if (!judge_some(0, req->kind == RECORD_FLUSH ? opt.flush_states : opt.states))
		return false;
	if (req->kind == RECORD_LOSS) {
		disk_lose(d, data, req->length / sizeof(uint64_t));
		losses++;
		return judge_some(opt.states, opt.states);
	}
	disk_complete(d, req);
	if (req->kind != RECORD_FLUSH)
		return true;
	flushes++;
	return judge_some(opt.flush_states, opt.flush_states);
}

static int play_all(void)
{
	const struct request *req;
	struct record record;
	const void *data;

	record_open(&record, opt.record);
	while ((req = record_next(&record, &data))) {
		number++;
		if (!play(req, data))
			return 1;
	}
	return losses || truth_all_succeeded() ? 0 : 1;
}

static char *image(unsigned int disk)
{
	char *path;

	if (disk >= MAX_DISKS)
		errx(2, "there is no disk %u", disk);
	if (asprintf(&path, "%s/%u.img", opt.record, disk) < 0)
		err(2, "memory");
	return path;
}

static struct disk *open_one(unsigned int disk)
{
	disk_open(&disks[disk], image(disk), disk == opt.journal);
	return &disks[disk];
}

static void begin_truth(void)
{
	char *main = image(opt.main);
	struct stat info;

	if (stat(main, &info))
		err(2, "%s", main);
	truth_begin(opt.oracle, info.st_size / SECTOR_SIZE, opt.losses);
	free(main);
}

static void keep_one(const struct disk *spare)
{
	keep_state(&disks[opt.main], spare, opt.journal == NOBODY ? NULL : &disks[opt.journal]);
}

static void open_all(void)
{
	judge.main = open_one(opt.main);
	judge.spares = opt.spares;
	for (unsigned int i = 0; i < opt.spares; i++)
		judge.spare[i] = open_one(opt.spare[i]);
	if (opt.journal != NOBODY)
		open_one(opt.journal);
	if (opt.keep) {
		keep_begin(opt.keep, opt.kept, opt.seed);
		judge.to_mend = keep_one;
	}
}

static void summary(void)
{
	const struct {
		const char *what;
		uint64_t count;
	} figures[] = {
		{"operations", number},
		{"flushes", flushes},
		{"failed_flushes", losses},
		{"oracle_operations", truth_operations()},
		{"states", states},
		{"no_set_yet", judge.unmade},
		{"mended", judge.mended},
		{"while_mending", judge.torn},
		{"copies_alone", judge.looked_alone},
	};
	json_t *all = json_object();

	for (size_t i = 0; i < sizeof(figures) / sizeof(*figures); i++)
		if (json_object_set_new(all, figures[i].what, json_integer(figures[i].count)))
			errx(2, "memory");
	json_dumpf(all, stdout, JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(all);
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"main", required_argument, NULL, 'm'},
		{"spare", required_argument, NULL, 's'},
		{"journal", required_argument, NULL, 'j'},
		{"oracle", required_argument, NULL, 'o'},
		{"losses", no_argument, NULL, 'l'},
		{"seed", required_argument, NULL, 'r'},
		{"states", required_argument, NULL, 'n'},
		{"flush-states", required_argument, NULL, 'f'},
		{"only", required_argument, NULL, 'O'},
		{"alone", required_argument, NULL, 'a'},
		{"keep", required_argument, NULL, 'k'},
		{"kept", required_argument, NULL, 'K'},
		{NULL, 0, NULL, 0},
	};

	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		uint64_t value = optarg ? strtoull(optarg, NULL, 10) : 0;

		switch (c) {
		case 'm':
			opt.main = value;
			break;
		case 's':
			if (opt.spares == MAX_SPARES)
				errx(2, "too many spares");
			opt.spare[opt.spares++] = value;
			break;
		case 'j':
			opt.journal = value;
			break;
		case 'o':
			opt.oracle = value;
			break;
		case 'l':
			opt.losses = true;
			break;
		case 'r':
			opt.seed = value;
			break;
		case 'n':
			opt.states = value;
			break;
		case 'f':
			opt.flush_states = value;
			break;
		case 'a':
			judge.alone = value;
			break;
		case 'k':
			opt.keep = optarg;
			break;
		case 'K':
			opt.kept = value;
			break;
		case 'O':
			opt.only = value;
			break;
		default:
			exit(2);
		}
	}
	opt.record = argv[optind];
	if (!opt.record || opt.main == NOBODY || !opt.spares)
		errx(2, "a record, the main and a spare, please");
}

int main(int argc, char **argv)
{
	int status;

	parse(argc, argv);
	begin_truth();
	open_all();
	status = play_all();
	summary();
	return status;
}
