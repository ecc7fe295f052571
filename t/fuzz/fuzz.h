/**
 * @file fuzz.h
 * What the fuzz targets share. A target defines fuzz(), one input as a string of its
 * own size on the heap, so that a sanitizer sees every step beyond its end.
 *
 * With clang -fsanitize=fuzzer it is a libFuzzer target; with -DREPLAY a program that
 * runs the files it is given and prints TAP.
 */
#ifndef DEVCACHE_FUZZ_H
#define DEVCACHE_FUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_pools.h>
#include "../unit/tap.h"

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

int main(int argc, char **argv)
{
    int i;

    for (i = 1; i < argc; i++) {
        ok(replay(argv[i]), "%s", argv[i]);
    }
    return done_testing();
}
#endif

#endif
