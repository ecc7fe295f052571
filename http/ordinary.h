/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file http/ordinary.h
 * Which request fields may stand in a request whose answer is stored for all.
 *
 * One table of names, with why, in the source. What is not in it is unknown, and an
 * unknown field may be anything, so what it fetches is not stored.
 * Ownership  Text that is returned is static, or the caller's own.
 * Locks      None: the table is made once, by devcache_ordinary_init(), then read only.
 */
#ifndef DEVCACHE_HTTP_ORDINARY_H
#define DEVCACHE_HTTP_ORDINARY_H

#include <string.h>
#include <apr_tables.h>

typedef enum devcache_field_kind_e {
    DEVCACHE_FIELD_UNKNOWN, /* a hit may answer; what it fetches is not stored */
    DEVCACHE_FIELD_KNOWN,   /* pages are not made from it, or the key covers it */
    DEVCACHE_FIELD_FORM,    /* another form of the page: only variants that compare it */
    DEVCACHE_FIELD_DEVICE, /* names another device: as unknown, whoever says it is known */
    DEVCACHE_FIELD_OVERRIDE /* another scheme, host, path, method or visitor: no cache */
} devcache_field_kind_e;

/**
 * Make the table; once in a process, before any thread asks. Again does nothing.
 * @return how many names found no room, or stand there twice: 0, which a test sees to
 */
int devcache_ordinary_init(void);

/**
 * What a field is, by its name and for X-Requested-With also by its value.
 * A name with "_" where the table has "-" is known only by the name with "-": to an origin
 * that makes variables of them it is another field by the same name.
 * @param known  const char *, DevCacheKnownHeaders: names, perhaps ending in "*", that
 *               are known besides; of no effect on the last three kinds. NULL: none
 * @param pwhy   why, in a few words; NULL where nothing is known. May be NULL itself
 */
devcache_field_kind_e devcache_ordinary_kind(const apr_array_header_t *known,
                                             const char *name, const char *value,
                                             const char **pwhy);

/**
 * Why DevCacheKnownHeaders cannot take this name, to follow it in a sentence; NULL: it can.
 */
const char *devcache_ordinary_refuses(const char *name);

/** The directive whose argument such a field could be; NULL: none would mend it. */
const char *devcache_ordinary_advice(const char *name, const char *value);

/** Is a name among these (const char *; NULL: none)? A "*" at an end takes any ending. */
int devcache_ordinary_is_among(const apr_array_header_t *names, const char *name);

/* What names of the kinds FORM and OVERRIDE that begin with two letters have as third one,
 * and as length: a bit for each, modulo 32. */
typedef struct devcache_ordinary_start_t {
    unsigned third, length;
} devcache_ordinary_start_t;

extern devcache_ordinary_start_t devcache_ordinary_starts[32][32];

/** May this be a field of the kinds FORM or OVERRIDE? Nearly always that is told without
 * looking it up, which is what a hit needs. */
static inline int devcache_ordinary_stands_out(const char *name)
{
    const devcache_ordinary_start_t *s;

    if (!name[0] || !name[1]) {
        return 0;
    }
    s = &devcache_ordinary_starts[name[0] & 31][name[1] & 31];
    return (s->third >> (name[2] & 31) & 1) && (s->length >> (strlen(name) & 31) & 1);
}

#endif
