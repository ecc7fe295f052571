/*
 * Slots.
 *
 * A slot stands for one file below the root, segment or large body. Its serial is also
 * the file's name, is never given twice and is what an entry must know to believe that
 * the slot is still the file it means.
 *
 *     FREE --take--> FILLING --spare--> SPARE --roll--> OPEN --roll--> SEALED --free-->
 * FREE |                                                ^
 *                       +---------------------- seal (a body) -----------+
 *
 *     FILLING  its file is being made or written by one process, which is named, so that
 *              another can free it when that one was killed
 *     SPARE    an empty segment whose file exists: a full head is replaced in memory only
 *     OPEN     a write head, one for each queue; ranges are reserved by compare-and-swap
 *     SEALED   in its queue, by order; the only state that eviction looks at
 *
 * The bound. `used` is the sum of what all slots count for, a segment its full size from
 * the beginning, a body what it has reserved; no step raises it above the size. It is
 * kept under the alloc lock and counted anew when a holder of the lock was killed.
 *
 * A head is one word, slot and next offset. The word alone cannot tell a slot from its
 * reincarnation, so the serial is read before and after the swap: serials are never
 * reused, so if it has not changed the range belongs to that file.
 */
#include "devcache_slot.h"

#include <apr_errno.h>
#include <stddef.h>
#include "devcache_fault.h"

#define SERIAL_MAX ((apr_uint64_t)1 << 62) /* beyond is nonsense */
#define HEAD_NONE ((apr_uint64_t)DEVCACHE_NO_SLOT << 48)
#define HEAD_OFFSET_MASK (((apr_uint64_t)1 << 48) - 1)

/* ---- the lock ------------------------------------------------------------- */

static int is_head(const devcache_shared_t *sh, unsigned slot)
{
    return sh->head->heads[DEVCACHE_PROBATION] >> 48 == slot ||
           sh->head->heads[DEVCACHE_MAIN] >> 48 == slot;
}

void devcache_slot_repair(devcache_shared_t *sh)
{
    devcache_shared_head_t *h = sh->head;
    apr_uint64_t used = 0;
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
        if (sl->state == DEVCACHE_SLOT_OPEN && !is_head(sh, i)) {
            sl->state = DEVCACHE_SLOT_SEALED;
        }
        used += sl->bytes;
        files++;
        spares += sl->state == DEVCACHE_SLOT_SPARE;
        next = sl->serial >= next ? sl->serial + 1 : next;
        next = sl->order >= next ? sl->order + 1 : next;
    }
    for (i = 0; i < DEVCACHE_QUEUES; i++) {
        apr_uint64_t slot = h->heads[i] >> 48;

        if (slot >= sh->g.slots || sh->slots[slot].state != DEVCACHE_SLOT_OPEN) {
            __atomic_store_n(&h->heads[i], HEAD_NONE, __ATOMIC_RELEASE);
        }
    }
    h->used = used;
    h->files = files;
    h->spares = spares;
    h->next_serial = next;
}

static int lock_alloc(devcache_shared_t *sh)
{
    switch (devcache_shared_lock(&sh->head->alloc)) {
    case DEVCACHE_LOCKED_REPAIR:
        devcache_slot_repair(sh);
        devcache_shared_repaired(&sh->head->alloc);
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
    sh->slots[i].order = file->serial;
    h->used += what->bytes;
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

apr_status_t devcache_slot_adopt(devcache_shared_t *sh, apr_uint64_t bytes,
                                 devcache_file_t *file)
{
    devcache_slot_t what = {0};

    what.serial = file->serial;
    what.bytes = bytes;
    what.kind = (unsigned char)file->kind;
    what.state = DEVCACHE_SLOT_SEALED;
    what.queue = DEVCACHE_MAIN;
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
    } else if (sh->head->used - sl->bytes + bytes > sh->g.size) {
        rv = APR_ENOSPC;
    } else {
        sh->head->used += bytes - sl->bytes;
        sl->bytes = bytes;
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
        sl->queue = (unsigned char)queue;
        sl->order = sh->head->next_serial++;
        sl->state = DEVCACHE_SLOT_SEALED;
    }
    unlock_alloc(sh);
    return sl ? APR_SUCCESS : APR_NOTFOUND;
}

apr_status_t devcache_slot_claim(devcache_shared_t *sh, const devcache_file_t *file,
                                 apr_uint64_t key_hash, apr_uint64_t variant_hash)
{
    devcache_slot_t *sl;

    if (!lock_alloc(sh)) {
        return APR_TIMEUP;
    }
    sl = slot_locked(sh, file, DEVCACHE_SLOT_FREE);
    if (sl) {
        sl->key_hash = key_hash;
        sl->variant_hash = variant_hash;
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
static apr_status_t roll(devcache_shared_t *sh, devcache_queue_t queue, apr_uint64_t seen,
                         unsigned keep, int *prolled)
{
    devcache_shared_head_t *h = sh->head;
    apr_uint64_t now_there;
    devcache_slot_t *spare;
    unsigned slot = 0;

    if (!lock_alloc(sh)) {
        return APR_TIMEUP;
    }
    now_there = __atomic_load_n(&h->heads[queue], __ATOMIC_ACQUIRE);
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
    __atomic_store_n(&h->heads[queue],
                     (apr_uint64_t)slot << 48 |
                         DEVCACHE_FILE_HEADER / DEVCACHE_RECORD_UNIT,
                     __ATOMIC_RELEASE);
    if (seen >> 48 < sh->g.slots) {
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
    apr_uint64_t *head = &sh->head->heads[queue];
    apr_uint64_t units = (len + DEVCACHE_RECORD_UNIT - 1) / DEVCACHE_RECORD_UNIT;
    apr_uint64_t room = sh->g.segment_size / DEVCACHE_RECORD_UNIT;
    apr_status_t rv = APR_SUCCESS;

    range->rolled = 0;
    while (rv == APR_SUCCESS) {
        apr_uint64_t seen = __atomic_load_n(head, __ATOMIC_ACQUIRE);
        apr_uint64_t at = seen & HEAD_OFFSET_MASK;
        apr_uint64_t slot = seen >> 48;
        apr_uint64_t serial;

        if (slot >= sh->g.slots || at + units > room) {
            rv = roll(sh, queue, seen, keep, &range->rolled);
            continue;
        }
        serial = __atomic_load_n(&sh->slots[slot].serial, __ATOMIC_ACQUIRE);
        if (__atomic_compare_exchange_n(head, &seen, seen + units, 0, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED) &&
            __atomic_load_n(&sh->slots[slot].serial, __ATOMIC_ACQUIRE) == serial &&
            serial != 0) {
            range->file.serial = serial;
            range->file.slot = (apr_uint16_t)slot;
            range->file.kind = DEVCACHE_FILE_SEGMENT;
            range->offset = at * DEVCACHE_RECORD_UNIT;
            return APR_SUCCESS;
        }
    }
    return rv;
}

/* After a crash of the machine the file may reach further than the index knows. */
void devcache_slot_correct(devcache_shared_t *sh, unsigned slot, apr_uint64_t bytes,
                           apr_uint64_t file_len)
{
    apr_uint64_t end = (file_len + DEVCACHE_RECORD_UNIT - 1) / DEVCACHE_RECORD_UNIT;
    int q;

    sh->slots[slot].bytes = bytes;
    for (q = 0; q < DEVCACHE_QUEUES; q++) {
        apr_uint64_t head = sh->head->heads[q];

        if (head >> 48 == slot && (head & HEAD_OFFSET_MASK) < end) {
            sh->head->heads[q] = (apr_uint64_t)slot << 48 | end;
        }
    }
}

/* ---- looking -------------------------------------------------------------- */

static void name_file(devcache_file_t *file, const devcache_slot_t *sl, unsigned i)
{
    file->serial = sl->serial;
    file->kind = (devcache_file_kind_t)sl->kind;
    file->slot = (apr_uint16_t)i;
}

apr_status_t devcache_slot_victim(devcache_shared_t *sh, devcache_file_t *file,
                                  devcache_slot_t *copy)
{
    const devcache_slot_t *oldest[DEVCACHE_QUEUES] = {NULL, NULL};
    const devcache_slot_t *chosen;
    apr_uint64_t probation = 0;
    unsigned i;

    if (!lock_alloc(sh)) {
        return APR_TIMEUP;
    }
    for (i = 0; i < sh->g.slots; i++) {
        const devcache_slot_t *sl = &sh->slots[i];
        unsigned q = sl->queue == DEVCACHE_MAIN ? DEVCACHE_MAIN : DEVCACHE_PROBATION;

        if (sl->state != DEVCACHE_SLOT_SEALED) {
            continue;
        }
        probation += q == DEVCACHE_PROBATION ? sl->bytes : 0;
        if (!oldest[q] || sl->order < oldest[q]->order) {
            oldest[q] = sl;
        }
    }
    chosen = oldest[DEVCACHE_PROBATION];
    if (oldest[DEVCACHE_MAIN] && (!chosen || probation <= sh->g.size / 10)) {
        chosen = oldest[DEVCACHE_MAIN];
    }
    if (chosen) {
        name_file(file, chosen, (unsigned)(chosen - sh->slots));
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

apr_uint64_t devcache_slot_barrier(devcache_shared_t *sh)
{
    apr_uint64_t barrier = ~(apr_uint64_t)0; /* on doubt a tombstone is kept for ever */

    if (lock_alloc(sh)) {
        barrier = sh->head->next_serial;
        unlock_alloc(sh);
    }
    return barrier;
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

apr_uint64_t devcache_slot_lowest(devcache_shared_t *sh, apr_uint64_t except)
{
    apr_uint64_t lowest = ~(apr_uint64_t)0;
    unsigned i;

    if (!lock_alloc(sh)) {
        return 0; /* on doubt there is an old one */
    }
    for (i = 0; i < sh->g.slots; i++) {
        const devcache_slot_t *sl = &sh->slots[i];

        if (sl->state != DEVCACHE_SLOT_FREE && sl->kind == DEVCACHE_FILE_SEGMENT &&
            sl->serial != except && sl->serial < lowest) {
            lowest = sl->serial;
        }
    }
    unlock_alloc(sh);
    return lowest;
}
