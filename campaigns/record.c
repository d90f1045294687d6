// SPDX-License-Identifier: GPL-2.0-only
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "record.h"

void record_open(struct record *r, const char *folder)
{
	char path[4096];
	struct stat info;
	int file;

	snprintf(path, sizeof(path), "%s/operations", folder);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0 || fstat(file, &info))
		err(2, "%s", path);
	*r = (struct record){.size = info.st_size};
	r->bytes = mmap(NULL, r->size, PROT_READ, MAP_PRIVATE, file, 0);
	if (r->bytes == MAP_FAILED)
		err(2, "%s", path);
	close(file);
}

const struct request *record_next(struct record *r, const void **data)
{
	const struct request *req = (const void *)(r->bytes + r->at);
	size_t length;

	if (r->at == r->size)
		return NULL;
	if (r->size - r->at < sizeof(*req))
		errx(2, "the record ends within an operation");
	length = req->kind == RECORD_ZEROES ? 0 : req->length;
	if (r->size - r->at - sizeof(*req) < length)
		errx(2, "the record ends within an operation");
	*data = length ? r->bytes + r->at + sizeof(*req) : NULL;
	r->at += sizeof(*req) + length;
	return req;
}
