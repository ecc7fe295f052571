/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Specs are few: one for each distinct Vary that the origins send. They are therefore
 * never taken out again, which makes a number and its text stable for the life of the
 * index and readers free of locks. The table is open-addressed, a number is a position.
 * A process killed while adding leaves at most some unused bytes of text behind: the
 * hash, stored last, is what makes an element exist.
 */
#include "store/spec.h"

#include <apr_errno.h>
#include <xxhash.h>

static apr_uint64_t hash_of(const devcache_shared_t *sh, devcache_slice_t text)
{
    return XXH3_64bits_withSeed(text.data, text.len, sh->head->seed) | 1;
}

const char *devcache_spec_text(const devcache_shared_t *sh, unsigned id)
{
    const devcache_spec_t *spec = &sh->specs[id % DEVCACHE_SPECS];

    if (id >= DEVCACHE_SPECS || !__atomic_load_n(&spec->hash, __ATOMIC_ACQUIRE) ||
        spec->len >= DEVCACHE_SPEC_TEXT ||
        spec->offset >= DEVCACHE_SPEC_TEXT - spec->len ||
        sh->spec_text[spec->offset + spec->len] != '\0') {
        return NULL;
    }
    return sh->spec_text + spec->offset;
}

/* The position of a text, or of the gap where it belongs; DEVCACHE_SPECS if neither. */
static unsigned position(const devcache_shared_t *sh, devcache_slice_t text,
                         apr_uint64_t hash, int *pfound)
{
    unsigned i;

    *pfound = 0;
    for (i = 0; i < DEVCACHE_SPECS; i++) {
        unsigned id = (unsigned)(hash / 2 + i) % DEVCACHE_SPECS;
        apr_uint64_t there = __atomic_load_n(&sh->specs[id].hash, __ATOMIC_ACQUIRE);
        const char *known = there == hash ? devcache_spec_text(sh, id) : NULL;

        if (there == 0) {
            return id;
        }
        if (known && devcache_slice_eq(devcache_slice(known, sh->specs[id].len), text)) {
            *pfound = 1;
            return id;
        }
    }
    return DEVCACHE_SPECS;
}

static apr_status_t add_locked(devcache_shared_t *sh, devcache_slice_t text,
                               apr_uint64_t hash, unsigned id)
{
    apr_uint32_t at = sh->head->spec_text_used;

    if (id >= DEVCACHE_SPECS || at >= DEVCACHE_SPEC_TEXT ||
        text.len >= DEVCACHE_SPEC_TEXT - at) {
        return APR_ENOSPC;
    }
    sh->head->spec_text_used = at + (apr_uint32_t)text.len + 1;
    memcpy(sh->spec_text + at, text.data, text.len);
    sh->spec_text[at + text.len] = '\0';
    sh->specs[id].offset = at;
    sh->specs[id].len = (apr_uint32_t)text.len;
    __atomic_store_n(&sh->specs[id].hash, hash, __ATOMIC_RELEASE);
    return APR_SUCCESS;
}

apr_status_t devcache_spec_intern(devcache_shared_t *sh, devcache_slice_t text,
                                  apr_uint16_t *pid)
{
    apr_uint64_t hash = hash_of(sh, text);
    apr_status_t rv = APR_SUCCESS;
    devcache_locked_e locked;
    int found;
    unsigned id = position(sh, text, hash, &found);

    if (!found) {
        locked = devcache_lock_take(&sh->head->intern);
        if (locked == DEVCACHE_NOT_LOCKED) {
            return APR_TIMEUP;
        }
        if (locked == DEVCACHE_LOCKED_REPAIR) {
            devcache_lock_repaired(&sh->head->intern);
        }
        id = position(sh, text, hash, &found);
        rv = found ? APR_SUCCESS : add_locked(sh, text, hash, id);
        pthread_mutex_unlock(&sh->head->intern);
    }
    *pid = (apr_uint16_t)id;
    return rv;
}

unsigned devcache_spec_count(const devcache_shared_t *sh, apr_uint64_t *pbytes)
{
    unsigned id, n = 0;

    for (id = 0; id < DEVCACHE_SPECS; id++) {
        n += __atomic_load_n(&sh->specs[id].hash, __ATOMIC_RELAXED) != 0;
    }
    *pbytes = __atomic_load_n(&sh->head->spec_text_used, __ATOMIC_RELAXED);
    return n;
}

int devcache_spec_sound(const devcache_shared_t *sh)
{
    unsigned id;

    for (id = 0; id < DEVCACHE_SPECS; id++) {
        const char *text = devcache_spec_text(sh, id);

        if (sh->specs[id].hash != 0 &&
            (!text || hash_of(sh, devcache_slice(text, sh->specs[id].len)) !=
                          sh->specs[id].hash)) {
            return 0;
        }
    }
    return sh->head->spec_text_used <= DEVCACHE_SPEC_TEXT;
}
