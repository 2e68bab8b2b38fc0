/*
 * The alias files of alias_maps: read whole into the replica, and again when one of them changes.
 *
 * A file is looked at every alias_maps_check_time, on a worker; so are the files that it includes.
 * What it says replaces what it said before in one transaction. While a file cannot be read, what
 * it said last holds; where it never could be, its names are unknown, never absent.
 */
#ifndef DIRIGO_DIRECTORY_ALIASFILE_H
#define DIRIGO_DIRECTORY_ALIASFILE_H

#include "directory/replica.h"
#include "gateway/event/worker.h"

struct aliasfiles;

/* Reads every file once before it returns. conf, replica and workers outlive it. NULL where
 * alias_maps names no file. */
struct aliasfiles *aliasfiles_new(const struct conf *conf, struct loop *loop,
                                  struct worker_pool *workers, struct replica *replica);
/* After the workers have ended. */
void aliasfiles_free(struct aliasfiles **files);

#endif
