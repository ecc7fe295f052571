/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purges are numbered in the whole store, for the life of the index. The ring keeps the
 * bytes of the latest DEVCACHE_BANS of them; a purge is of interest only to fills that
 * began before it, so it need not be kept for longer than a fill takes.
 *
 *     places   number modulo DEVCACHE_BANS -> where its bytes begin, how many
 *     bytes    one after the other, round and round; `ban_written` counts them all
 *
 * Who reads takes no lock. He copies the bytes and then looks whether the count has come
 * round to them, or the number to its place: then what he has is worth nothing, and he
 * takes the purge for one that is about his object. The same goes for a purge whose bytes
 * are too many to be kept. A copy not stored is cheap, a purged one that is served is not.
 */
#include "store/ring.h"

#include <apr_errno.h>
#include "base/fault.h"

#define WORD sizeof(apr_uint64_t)
#define KEPT_MAX (DEVCACHE_BAN_TEXT / 4) /* bytes of one purge */

apr_uint64_t devcache_ring_latest(const devcache_shared_t *sh)
{
    return __atomic_load_n(&sh->head->ban_latest, __ATOMIC_ACQUIRE);
}

static apr_uint64_t *word_at(const devcache_shared_t *sh, apr_uint64_t at)
{
    return &sh->ban_text[at % DEVCACHE_BAN_TEXT / WORD];
}

static apr_uint64_t whole_words(apr_uint64_t len)
{
    return (len + WORD - 1) / WORD * WORD;
}

/* As the writer of a sequence lock: the count tells of the bytes before they change. */
static void keep_locked(devcache_shared_t *sh, devcache_slice_t what, apr_uint64_t at)
{
    const char *from = what.data;
    apr_uint64_t i;

    __atomic_store_n(&sh->head->ban_written, at + whole_words(what.len),
                     __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    for (i = 0; i < what.len; i += WORD) {
        apr_uint64_t word = 0;

        memcpy(&word, from + i, what.len - i < WORD ? what.len - i : WORD);
        __atomic_store_n(word_at(sh, at + i), word, __ATOMIC_RELAXED);
    }
}

apr_status_t devcache_ring_enter(devcache_shared_t *sh, devcache_slice_t what)
{
    devcache_shared_head_t *h = sh->head;
    devcache_ban_place_t *place;
    apr_uint64_t len = what.len <= KEPT_MAX ? what.len : 0;

    switch (devcache_lock_take(&h->bans)) {
    case DEVCACHE_LOCKED_REPAIR: /* half entered is not entered: the number says it */
        devcache_lock_repaired(&h->bans);
        break;
    case DEVCACHE_LOCKED:
        break;
    default:
        return APR_TIMEUP;
    }
    place = &h->ban_ring[(h->ban_latest + 1) % DEVCACHE_BANS];
    __atomic_store_n(&place->at, whole_words(h->ban_written), __ATOMIC_RELEASE);
    __atomic_store_n(&place->len, len, __ATOMIC_RELEASE);
    if (len) {
        keep_locked(sh, what, place->at);
    }
    DEVCACHE_KILL_HERE("kill-in-ring");
    __atomic_store_n(&h->ban_latest, h->ban_latest + 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&h->bans);
    return APR_SUCCESS;
}

/* The bytes of a purge; data NULL if the ring has them no more, or never had. */
static devcache_slice_t bytes_of(const devcache_shared_t *sh, apr_uint64_t number,
                                 apr_pool_t *p)
{
    const devcache_shared_head_t *h = sh->head;
    const devcache_ban_place_t *place = &h->ban_ring[number % DEVCACHE_BANS];
    apr_uint64_t at = __atomic_load_n(&place->at, __ATOMIC_ACQUIRE);
    apr_uint64_t len = __atomic_load_n(&place->len, __ATOMIC_ACQUIRE);
    apr_uint64_t *copy, i;

    if (len == 0 || len > KEPT_MAX) {
        return devcache_slice(NULL, 0);
    }
    copy = apr_palloc(p, whole_words(len));
    for (i = 0; i < len; i += WORD) {
        copy[i / WORD] = __atomic_load_n(word_at(sh, at + i), __ATOMIC_RELAXED);
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (__atomic_load_n(&h->ban_written, __ATOMIC_RELAXED) - at > DEVCACHE_BAN_TEXT ||
        devcache_ring_latest(sh) + 1 >= number + DEVCACHE_BANS) {
        return devcache_slice(NULL, 0);
    }
    return devcache_slice(copy, len);
}

/* Is purge @a number about one of them? On any doubt it is. */
static int is_about(const devcache_root_t *s, apr_uint64_t number,
                    const devcache_described_t *objects, unsigned n, apr_pool_t *p)
{
    devcache_slice_t what = bytes_of(&s->sh, number, p);
    void *ban = what.data && s->conf.ban_open ? s->conf.ban_open(what, p) : NULL;
    unsigned i;

    for (i = 0; ban && i < n; i++) {
        if (s->conf.ban_matches(ban, &objects[i])) {
            return 1;
        }
    }
    return !ban;
}

apr_status_t devcache_ring_overtaken(const devcache_root_t *s,
                                     const devcache_described_t *objects, unsigned n,
                                     apr_uint64_t *pseen)
{
    apr_uint64_t latest = devcache_ring_latest(&s->sh);
    apr_status_t rv = APR_SUCCESS;
    apr_pool_t *p;

    if (latest - *pseen >= DEVCACHE_BANS) {
        return APR_EGENERAL;
    }
    apr_pool_create_unmanaged(&p);
    while (rv == APR_SUCCESS && *pseen != latest) {
        apr_pool_clear(p);
        *pseen += 1;
        rv = is_about(s, *pseen, objects, n, p) ? APR_EGENERAL : APR_SUCCESS;
    }
    apr_pool_destroy(p);
    return rv;
}
