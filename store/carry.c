/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DevCacheSize, DevCacheMaxObjects or DevCacheSegmentSize was changed between two starts.
 * The hashes stay as they are, as the new index gets the old one's seed; so no record has
 * to be read:
 *
 *     files    those that fit get slots, all sealed: first those of which most is in use,
 *              then those of the main queue, then those written last
 *     entries  those whose files were taken over, with their use; where a stripe has not
 *              room for all, the ones stored long ago give way
 *     texts    of the specs, counters and ghosts, as they are
 *
 * A segment may be of another size than new ones: nothing depends on all being alike but
 * the place where a head is full, and what is carried over is no head.
 */
#include "store/carry.h"

#include <apr_errno.h>
#include <stdlib.h>
#include "base/fault.h"
#include "store/index.h"
#include "store/stripe.h"

#define KEEP_SEGMENTS 5          /* room left for heads and spares */
#define BODY_RECORD (64u * 1024) /* what a record counts for whose body is elsewhere */

typedef struct moved_t {
    devcache_slot_t slot; /* a copy */
    apr_uint16_t from;    /* where it was */
    unsigned worth;       /* how much of it was used how often, in sixteenths */
} moved_t;

typedef struct carry_t {
    const devcache_shared_t *old;
    devcache_shared_t *to;
    apr_uint16_t *now_at; /* by old slot: the new one, or DEVCACHE_NO_SLOT */
    unsigned char *named; /* by new slot: an entry leads to it */
} carry_t;

static int by_worth(const void *a, const void *b)
{
    const moved_t *x = a, *y = b;

    if (x->worth != y->worth) {
        return x->worth > y->worth ? -1 : 1;
    }
    if (x->slot.queue != y->slot.queue) {
        return x->slot.queue == DEVCACHE_MAIN ? -1 : 1;
    }
    return x->slot.order > y->slot.order ? -1 : x->slot.order < y->slot.order;
}

/* A body in a file of its own is all of it; how long one in a segment is is not told by the
 * entry, and is taken for as much as its record counts. */
static apr_uint64_t bytes_of_body(const devcache_shared_t *old, const devcache_entry_t *e)
{
    return old->slots[e->body_slot].kind == DEVCACHE_FILE_BODY
               ? old->slots[e->body_slot].bytes
               : BODY_RECORD;
}

/* How many bytes of each file were used, each as often as it was. A record without which
 * a large body is lost counts for more than its own length. */
static void count_uses(const devcache_shared_t *old, apr_uint64_t *used)
{
    apr_size_t all = (apr_size_t)old->g.stripes * old->g.entries;
    apr_size_t i;

    for (i = 0; i < all; i++) {
        const devcache_entry_t *e = &old->entries[i];

        if (!devcache_stripe_plausible(old, e) || !devcache_stripe_alive(old, e)) {
            continue;
        }
        used[e->slot] += (apr_uint64_t)e->use * e->length;
        if (e->body_slot != DEVCACHE_NO_SLOT) {
            used[e->slot] += e->use * (apr_uint64_t)BODY_RECORD;
            used[e->body_slot] += e->use * bytes_of_body(old, e);
        }
    }
}

static unsigned list_slots(const devcache_shared_t *old, const apr_uint64_t *used,
                           moved_t *all)
{
    unsigned i, n = 0;

    for (i = 0; i < old->g.slots; i++) {
        if (old->slots[i].state == DEVCACHE_SLOT_SEALED ||
            old->slots[i].state == DEVCACHE_SLOT_OPEN) {
            all[n].slot = old->slots[i];
            all[n].from = (apr_uint16_t)i;
            all[n].worth = (unsigned)(used[i] / (old->slots[i].bytes / 16 + 1));
            n++;
        }
    }
    return n;
}

static void carry_files(carry_t *c, moved_t *all, unsigned n)
{
    apr_uint64_t keep = KEEP_SEGMENTS * c->to->g.segment_size;
    unsigned i;

    if (n > 0) {
        qsort(all, n, sizeof(*all), by_worth);
    }
    for (i = 0; i < n; i++) {
        devcache_file_t file;

        if (c->to->head->used + all[i].slot.bytes + keep <= c->to->g.size &&
            devcache_slot_adopt(c->to, &all[i].slot, &file) == APR_SUCCESS) {
            c->now_at[all[i].from] = file.slot;
        }
    }
}

/* Bodies whose entries had to give way are left behind as well. */
static void forget_dropped(carry_t *c, const devcache_drops_t *drops)
{
    unsigned i;

    for (i = 0; i < drops->n; i++) {
        c->named[drops->body[i].slot % c->to->g.slots] = 0;
    }
}

static void carry_entry(carry_t *c, const devcache_entry_t *e)
{
    devcache_put_t put = {*e};
    devcache_drops_t drops;

    put.ticket = ~(apr_uint64_t)0; /* nothing was removed since */
    put.entry.slot = c->now_at[e->slot];
    if (e->body_slot != DEVCACHE_NO_SLOT) {
        put.entry.body_slot = c->now_at[e->body_slot];
        if (put.entry.body_slot == DEVCACHE_NO_SLOT) {
            return;
        }
    }
    put.max_variants = DEVCACHE_MATCHES;
    if (put.entry.slot == DEVCACHE_NO_SLOT ||
        devcache_index_put(c->to, &put, &drops) != APR_SUCCESS) {
        return;
    }
    forget_dropped(c, &drops);
    if (put.entry.body_slot != DEVCACHE_NO_SLOT) {
        c->named[put.entry.body_slot] = 1;
    }
}

static void carry_entries(carry_t *c)
{
    apr_size_t all = (apr_size_t)c->old->g.stripes * c->old->g.entries;
    apr_size_t i;

    for (i = 0; i < all; i++) {
        const devcache_entry_t *e = &c->old->entries[i];

        if (devcache_stripe_plausible(c->old, e) && devcache_stripe_alive(c->old, e)) {
            carry_entry(c, e);
        }
    }
}

static void free_unnamed_bodies(carry_t *c)
{
    devcache_file_t file;
    devcache_slot_t copy;
    unsigned i;

    for (i = 0; i < c->to->g.slots; i++) {
        if (devcache_slot_get(c->to, i, &file, &copy) &&
            file.kind == DEVCACHE_FILE_BODY && !c->named[i]) {
            devcache_slot_free(c->to, &file);
        }
    }
}

static void carry_rest(carry_t *c)
{
    const devcache_shared_head_t *from = c->old->head;
    devcache_shared_head_t *h = c->to->head;

    h->spec_text_used = from->spec_text_used;
    memcpy(c->to->specs, c->old->specs, DEVCACHE_SPECS * sizeof(devcache_spec_t));
    memcpy(c->to->spec_text, c->old->spec_text, DEVCACHE_SPEC_TEXT);
    memcpy(h->counters, from->counters, sizeof(h->counters));
    if (c->to->g.ghosts == c->old->g.ghosts) {
        memcpy(c->to->ghosts, c->old->ghosts, c->to->g.ghosts * sizeof(*c->to->ghosts));
    }
}

apr_status_t devcache_carry_over(devcache_root_t *s, devcache_shared_t *to)
{
    carry_t c = {&s->sh, to};
    moved_t *all = malloc(s->sh.g.slots * sizeof(*all));
    apr_uint64_t *used = calloc(s->sh.g.slots, sizeof(*used));
    apr_status_t rv = APR_ENOMEM;

    c.now_at = malloc(s->sh.g.slots * sizeof(*c.now_at));
    c.named = calloc(to->g.slots, 1);
    if (all && used && c.now_at && c.named) {
        memset(c.now_at, 0xff, s->sh.g.slots * sizeof(*c.now_at));
        devcache_index_relink_all(to);
        carry_rest(&c);
        count_uses(&s->sh, used);
        carry_files(&c, all, list_slots(&s->sh, used, all));
        carry_entries(&c);
        DEVCACHE_KILL_HERE("kill-in-carry");
        free_unnamed_bodies(&c);
        rv = APR_SUCCESS;
    }
    free(all);
    free(used);
    free(c.now_at);
    free(c.named);
    return rv;
}
