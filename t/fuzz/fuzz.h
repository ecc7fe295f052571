/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file fuzz.h
 * What the fuzz targets share. A target defines fuzz(), one input as a string of its
 * own size on the heap, so that a sanitizer sees every step beyond its end.
 *
 * `make fuzz` makes libFuzzer targets of them. With REPLAY, the folder of a target's
 * corpus, it is a program for `make check` that runs the files there and prints TAP.
 */
#ifndef DEVCACHE_FUZZ_H
#define DEVCACHE_FUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_pools.h>
#include "../unit/tap.h"

#ifdef REPLAY
#include <glob.h>
#endif

/** Try one input of @a len bytes; a NUL stands behind them and perhaps among them. */
static void fuzz(const char *data, size_t len, apr_pool_t *p);

/** A rule that holds for every input. */
static inline void must(int holds)
{
    if (!holds) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static apr_pool_t *parent;
    char *copy = malloc(len + 1);
    apr_pool_t *p;

    if (!parent) {
        apr_initialize();
        apr_pool_create(&parent, NULL);
    }
    apr_pool_create(&p, parent);
    memcpy(copy, data, len);
    copy[len] = '\0';
    fuzz(copy, len, p);
    free(copy);
    apr_pool_destroy(p);
    return 0;
}

#ifdef REPLAY
static int replay(const char *path)
{
    static uint8_t data[1 << 20];
    FILE *file = fopen(path, "rb");
    size_t len;

    if (!file) {
        return 0;
    }
    len = fread(data, 1, sizeof(data), file);
    fclose(file);
    LLVMFuzzerTestOneInput(data, len);
    return 1;
}

int main(void)
{
    glob_t found;
    size_t i;

    if (!ok(glob(REPLAY "/*", 0, NULL, &found) == 0, "files in %s", REPLAY)) {
        return done_testing();
    }
    for (i = 0; i < found.gl_pathc; i++) {
        ok(replay(found.gl_pathv[i]), "%s", found.gl_pathv[i]);
    }
    globfree(&found);
    return done_testing();
}
#endif

#endif
