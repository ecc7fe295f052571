/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots.
 *
 * A slot stands for one file below the root, segment or large body. Its serial is also
 * the file's name, is never given twice and is what an entry must know to believe that
 * the slot is still the file it means.
 *
 *     FREE --take--> FILLING --spare--> SPARE --roll--> OPEN --roll--> SEALED -free-> FREE
 *                       |                                                ^
 *                       +---------------------- seal (a body) -----------+
 *
 *     FILLING  its file is being made or written by one process, which is named, so that
 *              another can free it when that one was killed
 *     SPARE    an empty segment whose file exists: a full head is replaced in memory only
 *     OPEN     a write head, of which a queue has several; ranges are reserved by
 *              compare-and-swap
 *     SEALED   in its queue, by order, to be evicted in its turn
 *
 * The bound. `used` is the sum of what all slots count for, a segment its full size from
 * the beginning, a body what it has reserved; no step raises it above the size. It is
 * kept under the alloc lock and counted anew when a holder of the lock was killed.
 *
 * Bodies that are being filled belong to probation: room for them is taken from there
 * first, and all of them together hold at most a quarter of the bound, so that a few
 * large downloads at once do not cost what is popular. `filling` is their sum.
 */
#include "store/slot.h"

#include <apr_errno.h>
#include <stddef.h>
#include "base/fault.h"

#define SERIAL_MAX ((apr_uint64_t)1 << 62) /* beyond is nonsense */

/* ---- bodies being filled --------------------------------------------------- */

static int is_filled_body(const devcache_slot_t *sl)
{
    return sl->kind == DEVCACHE_FILE_BODY && sl->state == DEVCACHE_SLOT_FILLING;
}

/* May the bodies that are being filled hold @a more bytes? */
static int is_crowded(const devcache_shared_t *sh, apr_uint64_t more)
{
    return sh->head->filling + more > sh->g.size / 4 + sh->g.segment_size;
}

/* It is a file of another state from now on, or of another size. */
static void leaves_filling(devcache_shared_t *sh, const devcache_slot_t *sl)
{
    if (is_filled_body(sl)) {
        sh->head->filling -= sl->bytes < sh->head->filling ? sl->bytes
                                                           : sh->head->filling;
    }
}

/* ---- the lock ------------------------------------------------------------- */

void devcache_slot_repair(devcache_shared_t *sh)
{
    devcache_shared_head_t *h = sh->head;
    apr_uint64_t used = 0, filling = 0;
    apr_uint64_t next = h->next_serial < SERIAL_MAX ? h->next_serial : 1;
    apr_uint32_t files = 0, spares = 0;
    unsigned i;

    for (i = 0; i < sh->g.slots; i++) {
        devcache_slot_t *sl = &sh->slots[i];

        if (sl->state == DEVCACHE_SLOT_FREE || sl->state > DEVCACHE_SLOT_SEALED ||
            sl->serial == 0 || sl->serial >= SERIAL_MAX || sl->order >= SERIAL_MAX ||
            sl->bytes > sh->g.size) {
            __atomic_store_n(&sl->serial, 0, __ATOMIC_RELEASE);
            sl->state = DEVCACHE_SLOT_FREE;
            continue;
        }
        if (sl->state == DEVCACHE_SLOT_OPEN && !devcache_head_at(sh, i)) {
            sl->state = DEVCACHE_SLOT_SEALED;
        }
        used += sl->bytes;
        filling += is_filled_body(sl) ? sl->bytes : 0;
        files++;
        spares += sl->state == DEVCACHE_SLOT_SPARE;
        next = sl->serial >= next ? sl->serial + 1 : next;
        next = sl->order >= next ? sl->order + 1 : next;
    }
    devcache_head_repair(sh);
    h->used = used;
    h->filling = filling;
    h->files = files;
    h->spares = spares;
    h->next_serial = next;
}

static int lock_alloc(devcache_shared_t *sh)
{
    switch (devcache_lock_take(&sh->head->alloc)) {
    case DEVCACHE_LOCKED_REPAIR:
        devcache_slot_repair(sh);
        devcache_lock_repaired(&sh->head->alloc);
        return 1;
    case DEVCACHE_LOCKED:
        return 1;
    default:
        return 0;
    }
}

static void unlock_alloc(devcache_shared_t *sh)
{
    pthread_mutex_unlock(&sh->head->alloc);
}

/* The slot if it is still that file and, unless @a state is FREE, in that state. */
static devcache_slot_t *slot_locked(devcache_shared_t *sh, const devcache_file_t *file,
                                    devcache_slot_state_t state)
{
    devcache_slot_t *sl = file->slot < sh->g.slots ? &sh->slots[file->slot] : NULL;

    if (!sl || sl->serial != file->serial || sl->state == DEVCACHE_SLOT_FREE ||
        (state != DEVCACHE_SLOT_FREE && sl->state != state)) {
        return NULL;
    }
    return sl;
}

/* ---- states --------------------------------------------------------------- */

static apr_status_t enter_locked(devcache_shared_t *sh, const devcache_slot_t *what,
                                 devcache_file_t *file)
{
    devcache_shared_head_t *h = sh->head;
    unsigned i;

    if (is_filled_body(what) && is_crowded(sh, what->bytes)) {
        return DEVCACHE_CROWDED;
    }
    for (i = 0; i < sh->g.slots && sh->slots[i].state != DEVCACHE_SLOT_FREE; i++) {
        ;
    }
    if (i == sh->g.slots || h->used + what->bytes > sh->g.size) {
        return APR_ENOSPC;
    }
    /* The serial, first of the struct, comes last: it is what makes the slot exist. */
    file->slot = (apr_uint16_t)i;
    file->serial = what->serial ? what->serial : h->next_serial++;
    memcpy(&sh->slots[i].order, &what->order,
           sizeof(*what) - offsetof(devcache_slot_t, order));
    sh->slots[i].order = what->order ? what->order : file->serial;
    h->used += what->bytes;
    h->filling += is_filled_body(what) ? what->bytes : 0;
    h->files++;
    __atomic_store_n(&sh->slots[i].serial, file->serial, __ATOMIC_RELEASE);
    return APR_SUCCESS;
}

apr_status_t devcache_slot_take(devcache_shared_t *sh, apr_uint64_t bytes,
                                const devcache_process_t *owner, devcache_file_t *file)
{
    devcache_slot_t what = {0};
    apr_status_t rv;

    what.bytes = bytes;
    what.kind = (unsigned char)file->kind;
    what.state = DEVCACHE_SLOT_FILLING;
    what.owner_pid = owner->pid;
    what.owner_start = owner->start;
    if (!lock_alloc(sh)) {
        return APR_TIMEUP;
    }
    rv = enter_locked(sh, &what, file);
    DEVCACHE_KILL_HERE("kill-in-alloc");
    unlock_alloc(sh);
    return rv;
}

apr_status_t devcache_slot_adopt(devcache_shared_t *sh, const devcache_slot_t *from,
                                 devcache_file_t *file)
{
    devcache_slot_t what = *from;

    what.state = DEVCACHE_SLOT_SEALED;
    return enter_locked(sh, &what, file);
}

apr_status_t devcache_slot_resize(devcache_shared_t *sh, const devcache_file_t *file,
                                  apr_uint64_t bytes)
{
    devcache_slot_t *sl;
    apr_status_t rv = APR_SUCCESS;

    if (!lock_alloc(sh)) {
        return APR_TIMEUP;
    }
    sl = slot_locked(sh, file, DEVCACHE_SLOT_FILLING);
    if (!sl) {
        rv = APR_NOTFOUND;
    } else if (bytes > sl->bytes && is_filled_body(sl) &&
               is_crowded(sh, bytes - sl->bytes)) {
        rv = DEVCACHE_CROWDED;
    } else if (sh->head->used - sl->bytes + bytes > sh->g.size) {
        rv = APR_ENOSPC;
    } else {
        sh->head->used += bytes - sl->bytes;
        leaves_filling(sh, sl);
        sl->bytes = bytes;
        sh->head->filling += is_filled_body(sl) ? bytes : 0;
    }
    unlock_alloc(sh);
    return rv;
}

apr_status_t devcache_slot_spare(devcache_shared_t *sh, const devcache_file_t *file)
{
    devcache_slot_t *sl;

    if (!lock_alloc(sh)) {
        return APR_TIMEUP;
    }
    sl = slot_locked(sh, file, DEVCACHE_SLOT_FILLING);
    if (sl) {
        sl->state = DEVCACHE_SLOT_SPARE;
        sh->head->spares++;
    }
    unlock_alloc(sh);
    return sl ? APR_SUCCESS : APR_NOTFOUND;
}

apr_status_t devcache_slot_seal(devcache_shared_t *sh, const devcache_file_t *file,
                                devcache_queue_t queue)
{
    devcache_slot_t *sl;

    if (!lock_alloc(sh)) {
        return APR_TIMEUP;
    }
    sl = slot_locked(sh, file, DEVCACHE_SLOT_FILLING);
    if (sl) {
        leaves_filling(sh, sl);
        sl->queue = (unsigned char)queue;
        sl->order = sh->head->next_serial++;
        sl->state = DEVCACHE_SLOT_SEALED;
    }
    unlock_alloc(sh);
    return sl ? APR_SUCCESS : APR_NOTFOUND;
}

apr_status_t devcache_slot_claim(devcache_shared_t *sh, const devcache_file_t *file,
                                 apr_uint64_t key_hash)
{
    devcache_slot_t *sl;

    if (!lock_alloc(sh)) {
        return APR_TIMEUP;
    }
    sl = slot_locked(sh, file, DEVCACHE_SLOT_FREE);
    if (sl) {
        sl->key_hash = key_hash;
    }
    unlock_alloc(sh);
    return sl ? APR_SUCCESS : APR_NOTFOUND;
}

apr_status_t devcache_slot_free(devcache_shared_t *sh, const devcache_file_t *file)
{
    devcache_slot_t *sl;

    if (!lock_alloc(sh)) {
        return APR_TIMEUP;
    }
    sl = slot_locked(sh, file, DEVCACHE_SLOT_FREE);
    if (sl) {
        __atomic_store_n(&sl->serial, 0, __ATOMIC_RELEASE);
        leaves_filling(sh, sl);
        sh->head->spares -= sl->state == DEVCACHE_SLOT_SPARE;
        sh->head->used -= sl->bytes;
        sh->head->files--;
        sl->state = DEVCACHE_SLOT_FREE;
        __atomic_fetch_add(&sh->head->evictions, 1, __ATOMIC_RELEASE);
    }
    unlock_alloc(sh);
    return sl ? APR_SUCCESS : APR_NOTFOUND;
}

apr_status_t devcache_slot_requeue(devcache_shared_t *sh, const devcache_file_t *file)
{
    devcache_slot_t *sl;

    if (!lock_alloc(sh)) {
        return APR_TIMEUP;
    }
    sl = slot_locked(sh, file, DEVCACHE_SLOT_SEALED);
    if (sl) {
        sl->queue = DEVCACHE_MAIN;
        sl->order = sh->head->next_serial++;
    }
    unlock_alloc(sh);
    return sl ? APR_SUCCESS : APR_NOTFOUND;
}

/* ---- heads ---------------------------------------------------------------- */

static devcache_slot_t *oldest_spare_locked(devcache_shared_t *sh, unsigned *pslot)
{
    devcache_slot_t *best = NULL;
    unsigned i;

    for (i = 0; i < sh->g.slots; i++) {
        devcache_slot_t *sl = &sh->slots[i];

        if (sl->state == DEVCACHE_SLOT_SPARE && (!best || sl->serial < best->serial)) {
            best = sl;
            *pslot = i;
        }
    }
    return best;
}

/* Replace the head @a seen, unless somebody has done so meanwhile. */
static apr_status_t roll(devcache_shared_t *sh, devcache_queue_t queue,
                         devcache_head_t *head, apr_uint64_t seen, unsigned keep,
                         int *prolled)
{
    devcache_shared_head_t *h = sh->head;
    apr_uint64_t now_there;
    devcache_slot_t *spare;
    unsigned slot = 0;

    if (!lock_alloc(sh)) {
        return APR_TIMEUP;
    }
    now_there = __atomic_load_n(&head->next, __ATOMIC_ACQUIRE);
    if (now_there >> 48 != seen >> 48) {
        unlock_alloc(sh);
        return APR_SUCCESS;
    }
    spare = h->spares > keep ? oldest_spare_locked(sh, &slot) : NULL;
    if (!spare) {
        unlock_alloc(sh);
        return APR_EAGAIN;
    }
    spare->state = DEVCACHE_SLOT_OPEN;
    spare->queue = (unsigned char)queue;
    spare->order = h->next_serial++;
    h->spares--;
    devcache_head_open(head, slot, spare->serial);
    if (devcache_head_leads(sh, seen)) {
        sh->slots[seen >> 48].state = DEVCACHE_SLOT_SEALED;
    }
    unlock_alloc(sh);
    *prolled = 1;
    return APR_SUCCESS;
}

apr_status_t devcache_slot_reserve(devcache_shared_t *sh, devcache_queue_t queue,
                                   apr_uint64_t len, unsigned keep,
                                   devcache_range_t *range)
{
    apr_uint64_t units = (len + DEVCACHE_RECORD_UNIT - 1) / DEVCACHE_RECORD_UNIT;
    apr_uint64_t seen;
    devcache_head_t *head;
    apr_status_t rv;

    range->rolled = 0;
    for (;;) {
        if (devcache_head_reserve(sh, queue, units, 1, range)) {
            return APR_SUCCESS;
        }
        head = devcache_head_worn(sh, queue, units, 1, &seen);
        rv = head ? roll(sh, queue, head, seen, keep, &range->rolled) : APR_EAGAIN;
        if (rv == APR_SUCCESS) {
            continue;
        }
        if (rv != APR_EAGAIN || devcache_head_reserve(sh, queue, units, 0, range)) {
            return rv == APR_EAGAIN ? APR_SUCCESS : rv;
        }
        head = devcache_head_worn(sh, queue, units, 0, &seen);
        rv = head ? roll(sh, queue, head, seen, keep, &range->rolled) : APR_SUCCESS;
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
}

/* After a crash of the machine the file may reach further than the index knows. */
void devcache_slot_correct(devcache_shared_t *sh, unsigned slot, apr_uint64_t bytes,
                           apr_uint64_t file_len)
{
    sh->slots[slot].bytes = bytes;
    devcache_head_correct(sh, slot, file_len);
}

/* ---- looking -------------------------------------------------------------- */

static void name_file(devcache_file_t *file, const devcache_slot_t *sl, unsigned i)
{
    file->serial = sl->serial;
    file->kind = (devcache_file_kind_t)sl->kind;
    file->slot = (apr_uint16_t)i;
}

/* What eviction looks at of one queue. */
typedef struct queue_t {
    devcache_slot_t *oldest; /* file that is sealed */
    devcache_slot_t *open;   /* head that was opened first */
    apr_uint64_t latest;     /* order of the sealed segment that was opened last */
    apr_uint64_t bytes;      /* of what is sealed */
} queue_t;

static int is_older(const devcache_slot_t *sl, const devcache_slot_t *than)
{
    return !than || sl->order < than->order;
}

static void look_through_locked(devcache_shared_t *sh, queue_t queues[DEVCACHE_QUEUES])
{
    unsigned i;

    for (i = 0; i < sh->g.slots; i++) {
        devcache_slot_t *sl = &sh->slots[i];
        int is_main = sl->queue == DEVCACHE_MAIN;
        queue_t *q = &queues[is_main ? DEVCACHE_MAIN : DEVCACHE_PROBATION];

        if (sl->state == DEVCACHE_SLOT_OPEN && is_older(sl, q->open)) {
            q->open = sl;
        } else if (sl->state == DEVCACHE_SLOT_SEALED) {
            q->bytes += sl->bytes;
            q->oldest = is_older(sl, q->oldest) ? sl : q->oldest;
            if (sl->kind == DEVCACHE_FILE_SEGMENT && sl->order > q->latest) {
                q->latest = sl->order;
            }
        }
    }
}

/* A head that has been left alone while others were filled goes when it is its turn. */
static devcache_slot_t *first_of(const queue_t *q)
{
    return q->open && q->oldest && q->open->order < q->oldest->order &&
                   q->open->order < q->latest
               ? q->open
               : q->oldest;
}

apr_status_t devcache_slot_victim(devcache_shared_t *sh, devcache_file_t *file,
                                  devcache_slot_t *copy)
{
    queue_t queues[DEVCACHE_QUEUES] = {{NULL}};
    devcache_slot_t *chosen, *of_main;
    unsigned i;

    if (!lock_alloc(sh)) {
        return APR_TIMEUP;
    }
    look_through_locked(sh, queues);
    chosen = first_of(&queues[DEVCACHE_PROBATION]);
    of_main = first_of(&queues[DEVCACHE_MAIN]);
    if (of_main && (!chosen || queues[DEVCACHE_PROBATION].bytes + sh->head->filling <=
                                   sh->g.size / 10)) {
        chosen = of_main;
    }
    if (chosen) {
        i = (unsigned)(chosen - sh->slots);
        if (chosen->state == DEVCACHE_SLOT_OPEN) {
            devcache_head_t *head = devcache_head_at(sh, i);

            if (head) {
                devcache_head_close(head);
            }
            chosen->state = DEVCACHE_SLOT_SEALED;
        }
        name_file(file, chosen, i);
        *copy = *chosen;
    }
    unlock_alloc(sh);
    return chosen ? APR_SUCCESS : APR_NOTFOUND;
}

int devcache_slot_get(devcache_shared_t *sh, unsigned i, devcache_file_t *file,
                      devcache_slot_t *copy)
{
    int there;

    if (i >= sh->g.slots || !lock_alloc(sh)) {
        return 0;
    }
    there = sh->slots[i].state != DEVCACHE_SLOT_FREE;
    if (there) {
        name_file(file, &sh->slots[i], i);
        *copy = sh->slots[i];
    }
    unlock_alloc(sh);
    return there;
}

unsigned devcache_slot_spares(devcache_shared_t *sh)
{
    unsigned n = 0;

    if (lock_alloc(sh)) {
        n = sh->head->spares;
        unlock_alloc(sh);
    }
    return n;
}

void devcache_slot_totals(devcache_shared_t *sh, apr_uint64_t *pbytes,
                          apr_uint64_t *pfiles)
{
    *pbytes = *pfiles = 0;
    if (lock_alloc(sh)) {
        *pbytes = sh->head->used;
        *pfiles = sh->head->files;
        unlock_alloc(sh);
    }
}

int devcache_slot_is_tight(devcache_shared_t *sh)
{
    int tight = 0;

    if (lock_alloc(sh)) {
        tight = sh->head->used + sh->g.size / 64 > sh->g.size;
        unlock_alloc(sh);
    }
    return tight;
}
