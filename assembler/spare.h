/* SPDX-License-Identifier: GPL-2.0-only */
/* A device becomes a spare: for a new set, or in place of the spare that a set has. */
#ifndef SPARE_H
#define SPARE_H

#include "device.h"

/*
 * What no --force overrides: @spare, probed with its claim, can't be the spare of a main called @main
 * with logical blocks of @block bytes. Returns 0, with the layout, or, with a complaint, an exit status.
 */
int spare_refuse(const struct device *spare, const char *main, uint32_t block,
		 struct dmr_layout *layout);

/* Enter in the superblock @s how to recognise @spare again, and seal it. */
void spare_identity(const struct device *spare, struct dmr_super *s);

/* Content of the spare that only @force may overwrite. Returns 0 or, with a complaint, an exit status. */
int spare_refuse_content(const struct device *spare, bool force);

/*
 * Write an empty set with the superblock @s; what @spare holds is lost. Without @force only if that
 * is nothing that anybody would miss. Returns 0 or, with a complaint, an exit status.
 */
int spare_write(const struct device *spare, bool force, struct dmr_super *s);

#endif
