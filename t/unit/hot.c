/* SPDX-License-Identifier: Apache-2.0 */
/* devcache_hot: what is kept, what gives way, and that nobody is left without his bytes.
 */
#include "store/hot.h"

#include <apr_general.h>
#include <pthread.h>
#include <stdlib.h>
#include "tap.h"

#define BOUND (256u << 10)
#define THREADS 4
#define ROUNDS 20000

/* A record whose bytes tell where it lies. */
static devcache_record_t record(apr_uint64_t serial, apr_uint64_t offset,
                                apr_size_t body_len, apr_pool_t *p)
{
    char *bytes = apr_palloc(p, 24 + body_len);
    devcache_record_t rec = {0};

    memcpy(bytes, &serial, 8);
    memcpy(bytes + 8, &offset, 8);
    memset(bytes + 16, 'm', 8);
    memset(bytes + 24, (int)(offset & 0x7f), body_len);
    rec.key = devcache_slice(bytes, 8);
    rec.spec = devcache_slice(bytes + 8, 0);
    rec.variant = devcache_slice(bytes + 8, 8);
    rec.meta = devcache_slice(bytes + 16, 8);
    rec.body = devcache_slice(bytes + 24, body_len);
    devcache_record_measure(&rec);
    return rec;
}

static void offer(devcache_hot_t *hot, apr_uint64_t serial, apr_uint64_t offset,
                  apr_size_t body_len)
{
    devcache_record_t rec;
    apr_pool_t *p;

    apr_pool_create(&p, NULL);
    rec = record(serial, offset, body_len, p);
    devcache_hot_offer(hot, serial, offset, &rec, NULL);
    apr_pool_destroy(p); /* what was kept is a copy */
}

static int is_right(const devcache_record_t *rec, apr_uint64_t serial,
                    apr_uint64_t offset)
{
    apr_size_t i;

    if (memcmp(rec->key.data, &serial, 8) || memcmp(rec->variant.data, &offset, 8) ||
        memcmp(rec->meta.data, "mmmmmmmm", 8)) {
        return 0;
    }
    for (i = 0; i < rec->body.len && rec->body.data[i] == (char)(offset & 0x7f); i++) {
    }
    return i == rec->body.len;
}

/* 1 found and right, 0 not there, -1 found and wrong. */
static int find(devcache_hot_t *hot, apr_uint64_t serial, apr_uint64_t offset)
{
    devcache_record_t rec;
    apr_pool_t *p;
    void *room;
    int found;

    apr_pool_create(&p, NULL);
    found = devcache_hot_find(hot, serial, offset, &rec, &room, p);
    if (found && !is_right(&rec, serial, offset)) {
        found = -1;
    }
    apr_pool_destroy(p);
    return found;
}

static void test_keeping(apr_pool_t *p)
{
    void *room, *again;
    devcache_hot_t *hot = devcache_hot_create(BOUND, p);
    devcache_record_t rec;
    apr_pool_t *request;

    ok(devcache_hot_create(0, p) == NULL, "no room, no table");
    devcache_hot_clear(NULL);
    is_int(find(hot, 1, 64), 0, "nothing is there at first");
    offer(hot, 1, 64, 100);
    is_int(find(hot, 1, 64), 0, "a first reading is not kept");
    offer(hot, 1, 64, 100);
    is_int(find(hot, 1, 64), 1, "a second is");
    is_int(find(hot, 2, 64), 0, "another file is another record");
    is_int(find(hot, 1, 128), 0, "another place too");
    offer(hot, 3, 64, 0);
    offer(hot, 3, 64, 0);
    is_int(find(hot, 3, 64), 1, "an empty body");
    offer(hot, 4, 64, BOUND / 8);
    offer(hot, 4, 64, BOUND / 8);
    is_int(find(hot, 4, 64), 0, "more than an eighth of the room is refused");

    apr_pool_create(&request, NULL);
    is_int(devcache_hot_find(hot, 1, 64, &rec, &room, request), 1, "in use");
    ok(!*(char *)room && !((char *)room)[DEVCACHE_HOT_ROOM - 1], "its room was empty");
    *(char *)room = 1;
    is_int(devcache_hot_find(hot, 1, 64, &rec, &again, request), 1, "in use twice");
    ok(again == room && *(char *)again, "and is the same for all who find it");
    devcache_hot_clear(hot);
    is_int(find(hot, 1, 64), 0, "dropped");
    ok(is_right(&rec, 1, 64), "and still whole for who uses it");
    apr_pool_destroy(request);
}

static void test_bound(apr_pool_t *p)
{
    devcache_hot_t *hot = devcache_hot_create(BOUND, p);
    apr_uint64_t i;
    int wanted = 0, kept = 0, wrong = 0, scanned = 0;

    for (i = 0; i < 40; i++) {
        offer(hot, 7, 64 * i, 1000);
        offer(hot, 7, 64 * i, 1000);
    }
    for (i = 0; i < 40; i++) {
        wanted += find(hot, 7, 64 * i) == 1;
    }
    ok(wanted > 20, "most of 40 small records are kept (%d)", wanted);
    for (i = 0; i < 5000; i++) {
        offer(hot, 8, 64 * i, 1000);
        scanned += find(hot, 8, 64 * i) != 0;
    }
    is_int(scanned, 0, "a crawler leaves nothing behind");
    for (i = 0; i < 40; i++) {
        kept += find(hot, 7, 64 * i) == 1;
    }
    is_int(kept, wanted, "and displaces nothing");
    for (i = 0; i < 2000; i++) {
        offer(hot, 9, 64 * i, 8000);
        offer(hot, 9, 64 * i, 8000);
    }
    for (kept = 0, i = 0; i < 2000; i++) {
        int found = find(hot, 9, 64 * i);
        kept += found == 1;
        wrong += found < 0;
    }
    ok(kept > 0 && kept * 8000u <= BOUND,
       "what is asked for now comes in, within the "
       "bound (%d)",
       kept);
    is_int(wrong, 0, "and is right");
    devcache_hot_clear(hot);
}

/* A record that has its body in another one, which is held with it. */
static void test_leaning(apr_pool_t *p)
{
    devcache_hot_t *hot = devcache_hot_create(BOUND, p);
    devcache_record_t base, rec, got;
    void *room, *own;
    apr_pool_t *request;
    apr_uint64_t i;
    char *held;

    offer(hot, 1, 64, 20000);
    offer(hot, 1, 64, 20000);
    apr_pool_create(&request, NULL);
    is_int(devcache_hot_find(hot, 1, 64, &base, &room, request), 1,
           "the one with a body");
    for (i = 0; i < 20; i++) {
        rec = record(2, i * 64, 0, request);
        rec.ref_serial = 1;
        rec.ref_offset = 1;
        rec.ref_head = base.head_len;
        rec.body = base.body;
        rec.body_len = base.body_len;
        devcache_hot_offer(hot, 2, i * 64, &rec, room);
        devcache_hot_offer(hot, 2, i * 64, &rec, room);
    }
    apr_pool_destroy(request);
    apr_pool_create(&request, NULL);
    is_int(devcache_hot_find(hot, 2, 5 * 64, &got, &own, request), 1, "one that refers");
    ok(got.body.data == base.body.data && own != room, "has its body there");
    for (i = 0; i < 3000; i++) { /* all of them are pushed out in the end */
        offer(hot, 9, 64 * i, 8000);
        offer(hot, 9, 64 * i, 8000);
    }
    ok(is_right(&base, 1, 64), "which stays as long as anybody uses it");
    held = devcache_hot_hold(own);
    ok(got.body.data > held && got.body.data < held + 20000 + 200,
       "what is held is the one with the body");
    apr_pool_destroy(request);
    ok(is_right(&base, 1, 64), "and stays as well");
    devcache_hot_let_go(held);
    for (i = 0; i < 6000; i++) {
        offer(hot, 10, 64 * i, 8000);
        offer(hot, 10, 64 * i, 8000);
    }
    is_int(find(hot, 2, 5 * 64), 0, "the one that refers has gone");
    is_int(find(hot, 1, 64), 0, "and so has the other");
    devcache_hot_clear(hot);
}

/* One that is sent slowly holds the memory of its base, not the base's slot. */
static void test_slow(apr_pool_t *p)
{
    devcache_hot_t *hot = devcache_hot_create(BOUND, p);
    devcache_record_t base, rec, got;
    void *room, *own;
    apr_pool_t *request, *slow;
    apr_uint64_t i;

    offer(hot, 1, 64, 20000);
    offer(hot, 1, 64, 20000);
    apr_pool_create(&request, NULL);
    apr_pool_create(&slow, NULL);
    is_int(devcache_hot_find(hot, 1, 64, &base, &room, request), 1, "a base");
    rec = record(2, 64, 0, request);
    rec.ref_serial = rec.ref_offset = 1;
    rec.ref_head = base.head_len;
    rec.body = base.body;
    rec.body_len = base.body_len;
    devcache_hot_offer(hot, 2, 64, &rec, room);
    devcache_hot_offer(hot, 2, 64, &rec, room);
    apr_pool_destroy(request);
    is_int(devcache_hot_find(hot, 2, 64, &got, &own, slow), 1, "is sent for another");
    for (i = 0; i < 6000; i++) {
        offer(hot, 9, 64 * i, 8000);
        offer(hot, 9, 64 * i, 8000);
    }
    is_int(find(hot, 2, 64), 0, "which leaves its slot meanwhile");
    is_int(find(hot, 1, 64), 0, "and so does the base");
    ok(is_right(&base, 1, 64), "whose memory is there still");
    apr_pool_destroy(slow);
    devcache_hot_clear(hot);
}

typedef struct {
    devcache_hot_t *hot;
    unsigned seed;
    int found, wrong;
} worker_t;

static void *work(void *data)
{
    worker_t *w = data;
    int i;

    for (i = 0; i < ROUNDS; i++) {
        apr_uint64_t offset = (apr_uint64_t)(rand_r(&w->seed) % 300) * 64;
        int found = find(w->hot, 5, offset);

        if (found == 0) {
            offer(w->hot, 5, offset, 500 + offset % 3000);
        }
        w->found += found == 1;
        w->wrong += found < 0;
    }
    return NULL;
}

static void test_threads(apr_pool_t *p)
{
    devcache_hot_t *hot = devcache_hot_create(BOUND, p);
    worker_t workers[THREADS];
    pthread_t threads[THREADS];
    int i, found = 0, wrong = 0;

    for (i = 0; i < THREADS; i++) {
        workers[i] = (worker_t){hot, (unsigned)i + 1, 0, 0};
        pthread_create(&threads[i], NULL, work, &workers[i]);
    }
    for (i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        found += workers[i].found;
        wrong += workers[i].wrong;
    }
    ok(found > ROUNDS / 10, "threads find records (%d)", found);
    is_int(wrong, 0, "and each is what it should be");
    devcache_hot_clear(hot);
}

int main(void)
{
    apr_pool_t *p;

    apr_initialize();
    apr_pool_create(&p, NULL);
    test_keeping(p);
    test_bound(p);
    test_leaning(p);
    test_slow(p);
    test_threads(p);
    apr_pool_destroy(p);
    apr_terminate();
    return done_testing();
}
