/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file scratch.h
 * What the benchmarks of the store alone share: a folder that is emptied, and a clock.
 */
#ifndef BENCH_SCRATCH_H
#define BENCH_SCRATCH_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "devcache_store.h"

/** Of a clock that nobody sets. */
static inline double scratch_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline void scratch_clear(const char *root)
{
    DIR *dir = opendir(root);
    struct dirent *de;

    while (dir && (de = readdir(dir)) != NULL) {
        if (de->d_name[0] != '.') {
            unlinkat(dirfd(dir), de->d_name, 0);
        }
    }
    if (dir) {
        closedir(dir);
    }
}

/** Open the store of @a conf as whoever runs this, or end the program. */
static inline devcache_store_t *scratch_open(devcache_store_conf_t *conf, apr_pool_t *p)
{
    devcache_store_t *s;
    const char *error;

    conf->uid = geteuid();
    conf->gid = getegid();
    if (devcache_store_open(&s, conf, &error, p) != APR_SUCCESS || error) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
    return s;
}

#endif
