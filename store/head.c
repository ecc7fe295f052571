/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads.
 *
 * A head is one word, slot and next offset. The word alone cannot tell a slot from its
 * reincarnation, so the serial is read before and after the swap: serials are never
 * reused, so if it has not changed the range belongs to that file.
 *
 * The kernel lets one thread at a time write to a file. One that is taken off the
 * processor in the middle makes all the others queue, and once they do, the lock goes from
 * sleeper to sleeper, each of which has to be scheduled first: a convoy that lasts as long
 * as the load. So a queue has up to eight heads, and who writes counts himself in beside
 * the one that he has chosen (devcache_slot_reserve()):
 *
 *     1  the first that is open, has room and is written to by nobody
 *     2  else a new segment, for one that is full and idle, or for one that has none
 *     3  else, as there is no spare, the first that has room, as busy as it is
 *     4  else a new segment in place of any that is full
 *
 * So there are as many open segments as there were writers at once, one where nobody
 * meets, and each is filled to its end. The count is a hint: one that a killed process has
 * left there makes a head the last choice until its segment is full, as counts go by the
 * segment's serial. A head that is not needed any more stays open until it is the oldest
 * of its queue; eviction closes it then and takes it (devcache_slot_victim()). Who was
 * about to write there finds its entry dead, as everybody who is overtaken by eviction.
 *
 * The kernel keeps a file in pieces as long as the writes that made them. Those of 4 KB
 * cost it more than the copying, so whoever first writes into a chunk of 32 KB fills the
 * rest of it with zeros, in the same call:
 *
 *     reserved    | record A | zeros to the end of the chunk |     next: the end
 *     written     | record A |                                     next: behind A
 *
 * So nobody else writes there while the zeros are written. The rest goes back by compare-
 * and-swap. That fails if somebody has gone on behind the chunk meanwhile, or the head
 * leads elsewhere; then the rest stays zeros, as it does if the writer was killed. Whether
 * there are zeros is a matter of speed only: nothing is believed of them.
 */
#include "store/head.h"

#define NOWHERE ((apr_uint64_t)DEVCACHE_NO_SLOT << 48)
#define OFFSET_MASK (((apr_uint64_t)1 << 48) - 1)
#define ALL (DEVCACHE_QUEUES * DEVCACHE_HEADS)
#define CHUNK ((apr_uint64_t)DEVCACHE_HEAD_CHUNK / DEVCACHE_RECORD_UNIT)

/* Of all, those of probation first. */
static devcache_head_t *nth(const devcache_shared_t *sh, unsigned i)
{
    return &sh->head->heads[i / DEVCACHE_HEADS][i % DEVCACHE_HEADS];
}

static devcache_head_t *first_at(const devcache_shared_t *sh, apr_uint64_t slot,
                                 unsigned n)
{
    unsigned i;

    for (i = 0; i < n; i++) {
        if (nth(sh, i)->next >> 48 == slot) {
            return nth(sh, i);
        }
    }
    return NULL;
}

devcache_head_t *devcache_head_at(const devcache_shared_t *sh, unsigned slot)
{
    return first_at(sh, slot, ALL);
}

void devcache_head_open(devcache_head_t *head, unsigned slot, apr_uint64_t serial)
{
    __atomic_store_n(&head->writers, serial << 32, __ATOMIC_RELAXED);
    __atomic_store_n(&head->next,
                     (apr_uint64_t)slot << 48 |
                         DEVCACHE_FILE_HEADER / DEVCACHE_RECORD_UNIT,
                     __ATOMIC_RELEASE);
}

void devcache_head_close(devcache_head_t *head)
{
    __atomic_store_n(&head->next, NOWHERE, __ATOMIC_RELEASE);
}

/* After the machine has crashed two may lead to one segment. */
void devcache_head_repair(devcache_shared_t *sh)
{
    unsigned i;

    for (i = 0; i < ALL; i++) {
        devcache_head_t *head = nth(sh, i);

        if (!devcache_head_leads(sh, head->next) ||
            sh->slots[head->next >> 48].state != DEVCACHE_SLOT_OPEN ||
            first_at(sh, head->next >> 48, i)) {
            devcache_head_close(head);
        }
    }
}

void devcache_head_correct(devcache_shared_t *sh, unsigned slot, apr_uint64_t file_len)
{
    apr_uint64_t end = (file_len + DEVCACHE_RECORD_UNIT - 1) / DEVCACHE_RECORD_UNIT;
    devcache_head_t *head = devcache_head_at(sh, slot);

    if (head && (head->next & OFFSET_MASK) < end) {
        head->next = (apr_uint64_t)slot << 48 | end;
    }
}

static int is_idle(apr_uint64_t writers)
{
    return (apr_uint32_t)writers == 0;
}

/* Somebody is about to write there. @a idle_only: unless somebody else does already */
static int enter(devcache_head_t *head, int idle_only, devcache_range_t *range)
{
    apr_uint64_t seen = __atomic_load_n(&head->writers, __ATOMIC_RELAXED);

    while (!idle_only || is_idle(seen)) {
        if (__atomic_compare_exchange_n(&head->writers, &seen, seen + 1, 1,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            range->head = head;
            range->mark = (apr_uint32_t)(seen >> 32);
            range->zeros = 0;
            return 1;
        }
    }
    return 0;
}

void devcache_head_wrote(const devcache_range_t *range)
{
    apr_uint64_t *writers = &range->head->writers;
    apr_uint64_t seen = __atomic_load_n(writers, __ATOMIC_ACQUIRE);
    apr_uint64_t next = range->taken;

    /* By the mark it is still that segment, not one that has come to the same word. That
     * may happen between the look and the exchange all the same; then room which another
     * record has taken is given out twice, and both of them are misses: neither has the
     * sum that its head tells. */
    if (range->zeros && seen >> 32 == range->mark) {
        __atomic_compare_exchange_n(&range->head->next, &next,
                                    next - range->zeros / DEVCACHE_RECORD_UNIT, 0,
                                    __ATOMIC_RELEASE, __ATOMIC_RELAXED);
    }
    while (seen >> 32 == range->mark && !is_idle(seen) &&
           !__atomic_compare_exchange_n(writers, &seen, seen - 1, 1, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
    }
}

static int has_room(const devcache_shared_t *sh, apr_uint64_t next, apr_uint64_t units)
{
    return (next & OFFSET_MASK) + units <= sh->g.segment_size / DEVCACHE_RECORD_UNIT;
}

static apr_uint64_t end_of_chunk(apr_uint64_t offset)
{
    return (offset + CHUNK - 1) / CHUNK * CHUNK;
}

/* How many units of zeros belong behind @a units at @a offset. What is longer than a chunk
 * is long enough. */
static apr_uint64_t zeros_behind(const devcache_shared_t *sh, apr_uint64_t offset,
                                 apr_uint64_t units)
{
    apr_uint64_t all = sh->g.segment_size / DEVCACHE_RECORD_UNIT;
    apr_uint64_t end = offset + units;
    apr_uint64_t to = end_of_chunk(end) < all ? end_of_chunk(end) : all;

    return units > CHUNK || end <= end_of_chunk(offset) ? 0 : to - end;
}

/* @return 0: there is no room, or somebody replaces the head */
static int reserve_at(devcache_shared_t *sh, devcache_head_t *head, apr_uint64_t units,
                      devcache_range_t *range)
{
    apr_uint64_t seen = __atomic_load_n(&head->next, __ATOMIC_ACQUIRE);

    while (devcache_head_leads(sh, seen) && has_room(sh, seen, units)) {
        const devcache_slot_t *sl = &sh->slots[seen >> 48];
        apr_uint64_t serial = __atomic_load_n(&sl->serial, __ATOMIC_ACQUIRE);
        apr_uint64_t zeros = zeros_behind(sh, seen & OFFSET_MASK, units);

        if (__atomic_compare_exchange_n(&head->next, &seen, seen + units + zeros, 0,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            if (serial == 0 || __atomic_load_n(&sl->serial, __ATOMIC_ACQUIRE) != serial) {
                return 0;
            }
            range->file.serial = serial;
            range->file.slot = (apr_uint16_t)(seen >> 48);
            range->file.kind = DEVCACHE_FILE_SEGMENT;
            range->offset = (seen & OFFSET_MASK) * DEVCACHE_RECORD_UNIT;
            range->zeros = (apr_size_t)zeros * DEVCACHE_RECORD_UNIT;
            range->taken = seen + units + zeros;
            return 1;
        }
    }
    return 0;
}

int devcache_head_reserve(devcache_shared_t *sh, devcache_queue_t queue,
                          apr_uint64_t units, int idle_only, devcache_range_t *range)
{
    unsigned i;

    for (i = 0; i < sh->g.heads; i++) {
        devcache_head_t *head = &sh->head->heads[queue][i];

        if (devcache_head_leads(sh, __atomic_load_n(&head->next, __ATOMIC_RELAXED)) &&
            enter(head, idle_only, range)) {
            if (reserve_at(sh, head, units, range)) {
                return 1;
            }
            devcache_head_wrote(range);
        }
    }
    return 0;
}

devcache_head_t *devcache_head_worn(devcache_shared_t *sh, devcache_queue_t queue,
                                    apr_uint64_t units, int idle_only,
                                    apr_uint64_t *pseen)
{
    devcache_head_t *closed = NULL;
    unsigned i;

    for (i = 0; i < sh->g.heads; i++) {
        devcache_head_t *head = &sh->head->heads[queue][i];
        apr_uint64_t seen = __atomic_load_n(&head->next, __ATOMIC_ACQUIRE);

        if (!devcache_head_leads(sh, seen)) {
            closed = closed ? closed : head;
        } else if (!has_room(sh, seen, units) &&
                   (!idle_only ||
                    is_idle(__atomic_load_n(&head->writers, __ATOMIC_RELAXED)))) {
            *pseen = seen;
            return head;
        }
    }
    *pseen = NOWHERE;
    return closed;
}
