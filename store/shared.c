/* SPDX-License-Identifier: Apache-2.0 */
#include "store/shared.h"

#include <apr_errno.h>
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include "base/bus.h"

#define SHARED_MAGIC 0x3158444956454443ull /* "DCEVIDX1" */
#define SHARED_VERSION 7
#define SEGMENTS_PER_HEAD 32

/* One part of the mapping after another, each aligned to a page line of 64 bytes. */
static apr_size_t place(apr_size_t *at, apr_size_t bytes)
{
    apr_size_t here = *at;

    *at += (bytes + 63) & ~(apr_size_t)63;
    return here;
}

static apr_size_t lay_out(devcache_shared_t *sh, char *base, const devcache_geometry_t *g)
{
    apr_size_t at = 0;
    apr_size_t stripes = g->stripes;
    apr_size_t head = place(&at, sizeof(devcache_shared_head_t));
    apr_size_t stripe = place(&at, stripes * sizeof(devcache_stripe_t));
    apr_size_t slot = place(&at, g->slots * sizeof(devcache_slot_t));
    apr_size_t spec = place(&at, DEVCACHE_SPECS * sizeof(devcache_spec_t));
    apr_size_t text = place(&at, DEVCACHE_SPEC_TEXT);
    apr_size_t bans = place(&at, DEVCACHE_BAN_TEXT);
    apr_size_t ghost = place(&at, (apr_size_t)g->ghosts * sizeof(apr_uint32_t));
    apr_size_t bucket = place(&at, stripes * g->buckets * sizeof(apr_uint32_t));
    apr_size_t entry = place(&at, stripes * g->entries * sizeof(devcache_entry_t));

    if (base) {
        sh->head = (devcache_shared_head_t *)(base + head);
        sh->stripes = (devcache_stripe_t *)(base + stripe);
        sh->slots = (devcache_slot_t *)(base + slot);
        sh->specs = (devcache_spec_t *)(base + spec);
        sh->spec_text = base + text;
        sh->ban_text = (apr_uint64_t *)(base + bans);
        sh->ghosts = (apr_uint32_t *)(base + ghost);
        sh->buckets = (apr_uint32_t *)(base + bucket);
        sh->entries = (devcache_entry_t *)(base + entry);
    }
    return at;
}

/* A stripe that is full drops an entry for the next one, so it has some also where there are
 * few: by chance some stripes get twice as many as others. */
#define ENTRIES_LEAST 16

static apr_uint32_t power_of_two_to(apr_uint64_t most, apr_uint32_t low,
                                    apr_uint32_t high)
{
    apr_uint32_t p = low;

    while (p < high && (apr_uint64_t)p * 2 <= most) {
        p *= 2;
    }
    return p;
}

void devcache_shared_plan(devcache_geometry_t *g, apr_uint64_t size,
                          apr_uint64_t segment_size, apr_uint64_t max_objects)
{
    apr_uint64_t segments = size / segment_size;

    memset(g, 0, sizeof(*g));
    g->size = size;
    g->segment_size = segment_size;
    /* About 256 objects a stripe: enough for chance to even out, few enough to repair. */
    g->stripes = power_of_two_to(
        max_objects / 256, power_of_two_to(max_objects / ENTRIES_LEAST, 1, 64), 4096);
    g->entries = (apr_uint32_t)((max_objects + g->stripes - 1) / g->stripes);
    g->buckets = power_of_two_to(g->entries, 1, 1u << 20);
    /* A large body is over a sixteenth of a segment. */
    g->slots = segments * 17 < DEVCACHE_NO_SLOT ? (apr_uint32_t)(segments * 17)
                                                : DEVCACHE_NO_SLOT;
    g->ghosts = power_of_two_to(max_objects / 2, 64, 1u << 24);
    /* Each may be half empty: a small part of the whole for both queues. */
    g->heads = power_of_two_to(segments / SEGMENTS_PER_HEAD, 1, DEVCACHE_HEADS);
}

apr_size_t devcache_shared_size(const devcache_geometry_t *g)
{
    return lay_out(NULL, NULL, g);
}

/* Without a place among the guarded ranges it is as if it had failed at once. */
static void guard(devcache_shared_t *sh)
{
    sh->broken = 0;
    if (!devcache_bus_guard(sh->head, sh->len, &sh->broken)) {
        sh->broken = 1;
    }
}

apr_status_t devcache_shared_map(devcache_shared_t *sh, int fd,
                                 const devcache_geometry_t *g)
{
    void *base;

    sh->g = *g;
    sh->len = devcache_shared_size(g);
    base = mmap(NULL, sh->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        sh->head = NULL;
        return errno;
    }
    lay_out(sh, base, g);
    guard(sh);
    return APR_SUCCESS;
}

/* Another compiler or architecture must not read what this one has laid out. */
static apr_uint32_t layout_of_build(void)
{
    const apr_uint32_t sizes[] = {
        0x01020304,
        sizeof(devcache_shared_head_t),
        sizeof(devcache_stripe_t),
        sizeof(pthread_mutex_t),
        sizeof(devcache_slot_t),
        sizeof(devcache_entry_t),
        DEVCACHE_SPECS,
        DEVCACHE_SPEC_TEXT,
        DEVCACHE_RING,
        DEVCACHE_BANS,
        DEVCACHE_BAN_TEXT,
    };

    return (apr_uint32_t)XXH3_64bits(sizes, sizeof(sizes));
}

static apr_uint64_t identity_sum(const devcache_shared_head_t *h)
{
    apr_size_t from = offsetof(devcache_shared_head_t, version);

    return XXH3_64bits((const char *)h + from,
                       offsetof(devcache_shared_head_t, sum) - from);
}

static int is_power_of_two(apr_uint32_t n, apr_uint32_t most)
{
    return n > 0 && n <= most && (n & (n - 1)) == 0;
}

/* Limits of devcache_shared_plan(): what keeps sums of sizes from overflowing. */
static int is_plausible(const devcache_geometry_t *g)
{
    return is_power_of_two(g->stripes, 4096) && is_power_of_two(g->buckets, 1u << 20) &&
           is_power_of_two(g->ghosts, 1u << 24) && g->entries > 0 &&
           g->entries <= 1u << 28 && g->slots > 0 && g->slots <= DEVCACHE_NO_SLOT &&
           g->heads > 0 && g->heads <= DEVCACHE_HEADS;
}

apr_status_t devcache_shared_map_file(devcache_shared_t *sh, int fd, int writable)
{
    devcache_shared_head_t head;
    struct stat st;
    void *base;

    memset(sh, 0, sizeof(*sh));
    if (fstat(fd, &st) != 0 || pread(fd, &head, sizeof(head), 0) != sizeof(head) ||
        head.magic != SHARED_MAGIC) {
        return APR_EGENERAL;
    }
    if (head.version != SHARED_VERSION || head.layout != layout_of_build()) {
        return APR_ENOTIMPL;
    }
    if (head.sum != identity_sum(&head) || !is_plausible(&head.geometry) ||
        (apr_size_t)st.st_size != devcache_shared_size(&head.geometry)) {
        return APR_EGENERAL;
    }
    base = mmap(NULL, (apr_size_t)st.st_size, PROT_READ | (writable ? PROT_WRITE : 0),
                MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        return errno;
    }
    sh->g = head.geometry;
    sh->len = (apr_size_t)st.st_size;
    lay_out(sh, base, &sh->g);
    guard(sh);
    return APR_SUCCESS;
}

void devcache_shared_unmap(devcache_shared_t *sh)
{
    if (sh->head) {
        devcache_bus_release(sh->head);
        munmap(sh->head, sh->len);
        sh->head = NULL;
    }
}

void devcache_shared_hand_over(devcache_shared_t *to, devcache_shared_t *from)
{
    int broken;

    devcache_bus_release(from->head);
    broken = from->broken;
    *to = *from;
    guard(to);
    to->broken |= broken;
    from->head = NULL;
}

int devcache_shared_valid(const devcache_shared_t *sh)
{
    const devcache_shared_head_t *h = sh->head;

    return __atomic_load_n(&h->magic, __ATOMIC_ACQUIRE) == SHARED_MAGIC &&
           h->version == SHARED_VERSION && h->layout == layout_of_build() &&
           memcmp(&h->geometry, &sh->g, sizeof(sh->g)) == 0 && h->sum == identity_sum(h);
}

void devcache_shared_format(devcache_shared_t *sh, apr_uint64_t seed, apr_uint64_t id,
                            apr_uint64_t first_serial)
{
    devcache_shared_head_t *h = sh->head;
    int i;

    h->version = SHARED_VERSION;
    h->layout = layout_of_build();
    h->geometry = sh->g;
    h->seed = seed;
    h->id = id;
    h->sum = identity_sum(h);
    h->next_serial = first_serial;
    for (i = 0; i < DEVCACHE_QUEUES * DEVCACHE_HEADS; i++) {
        h->heads[i / DEVCACHE_HEADS][i % DEVCACHE_HEADS]
            .next = (apr_uint64_t)DEVCACHE_NO_SLOT << 48;
    }
    __atomic_store_n(&h->magic, SHARED_MAGIC, __ATOMIC_RELEASE);
}

void devcache_shared_renew_locks(devcache_shared_t *sh)
{
    devcache_shared_head_t *h = sh->head;
    apr_uint32_t i;

    devcache_lock_init(&h->alloc);
    devcache_lock_init(&h->intern);
    devcache_lock_init(&h->evict);
    devcache_lock_init(&h->bans);
    for (i = 0; i < sh->g.stripes; i++) {
        devcache_lock_init(&sh->stripes[i].lock);
    }
}
