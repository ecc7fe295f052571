/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file tap.h
 * The few lines of TAP that the C unit tests print for prove.
 *
 * ok() counts, names and prints one check; done_testing() prints the plan and
 * is the exit status of main(): 0 if all checks held, 1 otherwise.
 */
#ifndef DEVCACHE_TAP_H
#define DEVCACHE_TAP_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int tap_run;
static int tap_failed;

/** One check; @a fmt names it. Returns @a cond so that callers may branch. */
static inline int __attribute__((format(printf, 2, 3))) ok(int cond, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    printf("%sok %d - ", cond ? "" : "not ", ++tap_run);
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
    fflush(stdout);
    tap_failed += !cond;
    return cond;
}

/** Strings equal (NULL equals only NULL); prints both when they differ. */
static inline int is_str(const char *got, const char *want, const char *name)
{
    int same = (got && want) ? !strcmp(got, want) : got == want;
    if (!ok(same, "%s", name)) {
        printf("#   got: %s\n#  want: %s\n", got ? got : "NULL", want ? want : "NULL");
    }
    return same;
}

/** Integers equal; prints both when they differ. */
static inline int is_int(long long got, long long want, const char *name)
{
    if (!ok(got == want, "%s", name)) {
        printf("#   got: %lld\n#  want: %lld\n", got, want);
        return 0;
    }
    return 1;
}

static inline int done_testing(void)
{
    printf("1..%d\n", tap_run);
    return tap_failed ? 1 : 0;
}

#endif
