#include "devcache_shared.h"

#include <apr_errno.h>
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#define SHARED_MAGIC 0x3158444956454443ull /* "DCEVIDX1" */
#define SHARED_VERSION 2
#define LOCK_PATIENCE_SEC 2

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
    apr_size_t ghost = place(&at, (apr_size_t)g->ghosts * sizeof(apr_uint32_t));
    apr_size_t bucket = place(&at, stripes * g->buckets * sizeof(apr_uint32_t));
    apr_size_t entry = place(&at, stripes * g->entries * sizeof(devcache_entry_t));

    if (base) {
        sh->head = (devcache_shared_head_t *)(base + head);
        sh->stripes = (devcache_stripe_t *)(base + stripe);
        sh->slots = (devcache_slot_t *)(base + slot);
        sh->specs = (devcache_spec_t *)(base + spec);
        sh->spec_text = base + text;
        sh->ghosts = (apr_uint32_t *)(base + ghost);
        sh->buckets = (apr_uint32_t *)(base + bucket);
        sh->entries = (devcache_entry_t *)(base + entry);
    }
    return at;
}

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
    g->stripes = power_of_two_to(max_objects / 256, 64, 4096);
    g->entries = (apr_uint32_t)((max_objects + g->stripes - 1) / g->stripes);
    g->buckets = power_of_two_to(g->entries, 1, 1u << 20);
    /* A large body is over a sixteenth of a segment. */
    g->slots = segments * 17 < DEVCACHE_NO_SLOT ? (apr_uint32_t)(segments * 17)
                                                : DEVCACHE_NO_SLOT;
    g->ghosts = power_of_two_to(max_objects / 2, 64, 1u << 24);
}

apr_size_t devcache_shared_size(const devcache_geometry_t *g)
{
    return lay_out(NULL, NULL, g);
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
    };

    return (apr_uint32_t)XXH3_64bits(sizes, sizeof(sizes));
}

static apr_uint64_t identity_sum(const devcache_shared_head_t *h)
{
    apr_size_t from = offsetof(devcache_shared_head_t, version);

    return XXH3_64bits((const char *)h + from,
                       offsetof(devcache_shared_head_t, sum) - from);
}

/* Limits of devcache_shared_plan(): what keeps sums of sizes from overflowing. */
static int is_plausible(const devcache_geometry_t *g)
{
    return g->stripes > 0 && g->stripes <= 4096 && g->entries > 0 &&
           g->entries <= 1u << 28 && g->buckets > 0 && g->buckets <= 1u << 20 &&
           g->slots <= DEVCACHE_NO_SLOT && g->ghosts <= 1u << 24;
}

apr_status_t devcache_shared_map_readonly(devcache_shared_t *sh, int fd)
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
    base = mmap(NULL, (apr_size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        return errno;
    }
    sh->g = head.geometry;
    sh->len = (apr_size_t)st.st_size;
    lay_out(sh, base, &sh->g);
    return APR_SUCCESS;
}

void devcache_shared_unmap(devcache_shared_t *sh)
{
    if (sh->head) {
        munmap(sh->head, sh->len);
        sh->head = NULL;
    }
}

int devcache_shared_valid(const devcache_shared_t *sh)
{
    const devcache_shared_head_t *h = sh->head;

    return __atomic_load_n(&h->magic, __ATOMIC_ACQUIRE) == SHARED_MAGIC &&
           h->version == SHARED_VERSION && h->layout == layout_of_build() &&
           memcmp(&h->geometry, &sh->g, sizeof(sh->g)) == 0 && h->sum == identity_sum(h);
}

void devcache_shared_format(devcache_shared_t *sh, apr_uint64_t seed,
                            apr_uint64_t first_serial)
{
    devcache_shared_head_t *h = sh->head;
    int q;

    h->version = SHARED_VERSION;
    h->layout = layout_of_build();
    h->geometry = sh->g;
    h->seed = seed;
    h->sum = identity_sum(h);
    h->next_serial = first_serial;
    for (q = 0; q < DEVCACHE_QUEUES; q++) {
        h->heads[q] = (apr_uint64_t)DEVCACHE_NO_SLOT << 48;
    }
    __atomic_store_n(&h->magic, SHARED_MAGIC, __ATOMIC_RELEASE);
}

void devcache_shared_init_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attr;

    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(lock, &attr);
    pthread_mutexattr_destroy(&attr);
}

void devcache_shared_renew_locks(devcache_shared_t *sh)
{
    devcache_shared_head_t *h = sh->head;
    apr_uint32_t i;

    devcache_shared_init_lock(&h->alloc);
    devcache_shared_init_lock(&h->intern);
    devcache_shared_init_lock(&h->evict);
    devcache_shared_init_lock(&h->rebuild);
    devcache_shared_init_lock(&h->bans);
    for (i = 0; i < sh->g.stripes; i++) {
        devcache_shared_init_lock(&sh->stripes[i].lock);
    }
}

static devcache_locked_t outcome(int rc)
{
    return rc == 0            ? DEVCACHE_LOCKED
           : rc == EOWNERDEAD ? DEVCACHE_LOCKED_REPAIR
                              : DEVCACHE_NOT_LOCKED;
}

devcache_locked_t devcache_shared_trylock(pthread_mutex_t *lock)
{
    return outcome(pthread_mutex_trylock(lock));
}

devcache_locked_t devcache_shared_lock(pthread_mutex_t *lock)
{
    struct timespec until;
    int rc = pthread_mutex_trylock(lock);

    if (rc == EBUSY) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += LOCK_PATIENCE_SEC;
        rc = pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, &until);
    }
    return outcome(rc);
}

void devcache_shared_repaired(pthread_mutex_t *lock)
{
    pthread_mutex_consistent(lock);
}
