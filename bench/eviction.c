/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-eviction: hit ratio of the store's eviction beside exact LRU.
 *
 * The same requests go to a real store (files, index, eviction: what a server would run)
 * and to a list in exact order of use that holds the same bytes: the store's bound, each
 * object counting what its record takes. Requests are Zipf(0.9) over 100,000 objects of
 * 0.5 to 16 KB, alone, and with a scan mixed in: after every 4,000 of them a crawler asks
 * for 1,000 objects that nobody asks for again. Counted are the visitors' requests of the
 * second half, when both are full. The sequence is the same each time.
 */
#include <apr_general.h>
#include <apr_strings.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "store/record.h"
#include "devcache_store.h"
#include "scratch.h"

#define OBJECTS 100000
#define REQUESTS 400000 /* of visitors */
#define SCAN_EVERY 4000
#define SCAN_LENGTH 1000
#define SCANNED (REQUESTS / SCAN_EVERY * SCAN_LENGTH)
#define ZIPF 0.9
#define SPEC "@device"
#define VARIANT "mobile"

static const char body[16384];
static const char meta[300];
static char root[256];
static double share[OBJECTS]; /* of requests, of the objects up to this one */

/* ---- requests ------------------------------------------------------------- */

static void make_shares(void)
{
    double sum = 0;
    unsigned i;

    for (i = 0; i < OBJECTS; i++) {
        share[i] = sum += pow(i + 1, -ZIPF);
    }
    for (i = 0; i < OBJECTS; i++) {
        share[i] /= sum;
    }
}

static apr_uint64_t random_state;

static unsigned zipf(void)
{
    unsigned low = 0, high = OBJECTS - 1;
    double at;

    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    at = (double)(random_state >> 11) / 9007199254740992.0;
    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (share[middle] < at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Popular and rare objects have all sizes. */
static apr_size_t body_len(unsigned object)
{
    return (apr_size_t)512 << (object * 2654435761u >> 16) % 6;
}

static devcache_slice_t key_of(unsigned object, char text[48])
{
    snprintf(text, 48, "http|www.example.com|80|/page/%06u|", object);
    return devcache_slice_str(text);
}

/* What it takes in a segment, bytes. */
static apr_uint64_t cost(unsigned object)
{
    devcache_record_t rec = {{NULL, 0}};
    char text[48];

    rec.key = key_of(object, text);
    rec.spec = devcache_slice_str(SPEC);
    rec.variant = devcache_slice_str(VARIANT);
    rec.meta = devcache_slice(meta, sizeof(meta));
    rec.body = devcache_slice(body, body_len(object));
    rec.body_len = rec.body.len;
    devcache_record_measure(&rec);
    return (rec.length + DEVCACHE_RECORD_UNIT - 1) / DEVCACHE_RECORD_UNIT *
           DEVCACHE_RECORD_UNIT;
}

/* ---- exact LRU ------------------------------------------------------------ */

/* A ring through its last element: the most recent one is ring[NONE].next. */
#define NONE (OBJECTS + SCANNED)

static struct {
    unsigned next, prev;
    int stored;
} ring[NONE + 1];
static apr_uint64_t lru_bytes;

static void lru_unlink(unsigned i)
{
    ring[ring[i].prev].next = ring[i].next;
    ring[ring[i].next].prev = ring[i].prev;
}

static void lru_link_first(unsigned i)
{
    ring[i].next = ring[NONE].next;
    ring[i].prev = NONE;
    ring[ring[i].next].prev = i;
    ring[NONE].next = i;
}

static void lru_clear(void)
{
    memset(ring, 0, sizeof(ring));
    ring[NONE].next = ring[NONE].prev = NONE;
    lru_bytes = 0;
}

static int lru_request(unsigned object, apr_uint64_t bound)
{
    unsigned last;

    if (ring[object].stored) {
        lru_unlink(object);
        lru_link_first(object);
        return 1;
    }
    lru_bytes += cost(object);
    ring[object].stored = 1;
    lru_link_first(object);
    while (lru_bytes > bound) {
        last = ring[NONE].prev;
        lru_unlink(last);
        ring[last].stored = 0;
        lru_bytes -= cost(last);
    }
    return 0;
}

/* ---- the store ------------------------------------------------------------ */

static devcache_store_t *open_store(apr_uint64_t size, apr_pool_t *p)
{
    devcache_store_conf_t conf = {root, size, 0, OBJECTS + SCANNED};

    return scratch_open(&conf, p);
}

static devcache_slice_t offer(void *baton, const char *spec, apr_pool_t *p)
{
    return devcache_slice_str(VARIANT);
}

static int store_request(devcache_store_t *s, unsigned object, apr_time_t now,
                         apr_pool_t *p)
{
    devcache_publish_t what = {SPEC};
    devcache_slice_t key;
    devcache_fill_t *fill;
    devcache_hit_t *hit;
    char text[48];

    key = key_of(object, text);
    if (devcache_store_lookup(s, key, offer, NULL, &hit, p) == APR_SUCCESS) {
        return 1;
    }
    what.variant = devcache_slice_str(VARIANT);
    what.meta = devcache_slice(meta, sizeof(meta));
    what.requested_at = what.stored_at = now;
    what.fresh_until = now + apr_time_from_sec(86400);
    what.max_variants = 64;
    fill = devcache_store_fill_begin(s, key, p);
    if (devcache_store_fill_write(fill, body, body_len(object),
                                  (apr_int64_t)body_len(object)) == APR_SUCCESS) {
        devcache_store_fill_publish(fill, &what);
    }
    return 0;
}

/* ---- a comparison --------------------------------------------------------- */

typedef struct score_t {
    unsigned counted, store, lru;
} score_t;

static score_t compare(apr_uint64_t size, int with_scans)
{
    score_t score = {0};
    devcache_store_t *s;
    apr_pool_t *p, *q;
    apr_time_t now = apr_time_from_sec(1000000);
    unsigned i, j, scanned = OBJECTS;

    apr_pool_create(&p, NULL);
    apr_pool_create(&q, p);
    s = open_store(size, p);
    lru_clear();
    random_state = 1;
    for (i = 0; i < REQUESTS; i++) {
        unsigned object = zipf();
        int in_store = store_request(s, object, now++, q);
        int in_lru = lru_request(object, size);

        if (i >= REQUESTS / 2) {
            score.counted++;
            score.store += (unsigned)in_store;
            score.lru += (unsigned)in_lru;
        }
        apr_pool_clear(q);
        for (j = 0; with_scans && i % SCAN_EVERY == 0 && j < SCAN_LENGTH; j++) {
            store_request(s, scanned, now++, q);
            lru_request(scanned++, size);
            apr_pool_clear(q);
        }
    }
    apr_pool_destroy(p);
    scratch_clear(root);
    return score;
}

int main(void)
{
    static const unsigned percents[] = {2, 10, 30};
    const char *tmp = getenv("TMPDIR");
    apr_uint64_t all = 0;
    unsigned i;
    int with_scans;

    apr_initialize();
    make_shares();
    for (i = 0; i < OBJECTS; i++) {
        all += cost(i);
    }
    snprintf(root, sizeof(root), "%s/devcache-eviction-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(root)) {
        perror("bench-eviction: mkdtemp");
        return 1;
    }
    printf("%u requests, Zipf(%.1f) over %d objects of together %llu MB\n", REQUESTS,
           ZIPF, OBJECTS, (unsigned long long)(all >> 20));
    printf("requests     size of the cache    store    LRU\n");
    for (with_scans = 0; with_scans < 2; with_scans++) {
        for (i = 0; i < sizeof(percents) / sizeof(*percents); i++) {
            score_t r = compare(all * percents[i] / 100, with_scans);

            printf("%-12s %12u %%      %6.2f %%  %5.2f %%   %s\n",
                   with_scans ? "with scans" : "Zipf alone", percents[i],
                   100.0 * r.store / r.counted, 100.0 * r.lru / r.counted,
                   r.store >= r.lru ? "goal met" : "goal MISSED");
        }
    }
    rmdir(root);
    return 0;
}
