/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purges of many: what goes and what stays, now, after eviction, after the loss of the
 * index, and while others publish, refresh and evict.
 */
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include "purge/ban.h"
#include "devcache_vary.h"
#include "store_hammer.h"

#define SIZE (8 * MB)
#define SEGMENT (256 * KB)

static apr_pool_t *pool;

/* ---- objects with keys and tags ------------------------------------------------- */

static devcache_slice_t key_of(const char *path, apr_pool_t *p)
{
    return devcache_vary_key("http", "h", 80, path, NULL, p);
}

static devcache_slice_t tags_of(const char *list, apr_pool_t *p)
{
    devcache_tags_t tags;

    devcache_ban_tags_begin(&tags, p);
    devcache_ban_tags_list(&tags, list);
    return devcache_ban_tags_end(&tags, p);
}

static apr_status_t publish(devcache_fill_t *fill, const char *tags, apr_time_t at,
                            unsigned meta, apr_pool_t *p)
{
    devcache_publish_t what = {""};

    what.variant = devcache_slice("", 0);
    what.meta = devcache_slice(&meta, sizeof(meta));
    what.tags = tags_of(tags, p);
    what.requested_at = what.stored_at = at;
    what.fresh_until = at + SEC(1000);
    what.max_variants = 4;
    return devcache_store_fill_publish(fill, &what);
}

static apr_status_t put(fixture_t *f, const char *path, const char *tags, apr_time_t at)
{
    static char body[2000];
    devcache_fill_t *fill;
    apr_status_t rv;
    apr_pool_t *p;

    apr_pool_create(&p, pool);
    fill = devcache_store_fill_begin(f->s, key_of(path, p), p);
    devcache_store_fill_write(fill, body, sizeof(body), -1);
    rv = publish(fill, tags, at, 0, p);
    apr_pool_destroy(p);
    return rv;
}

/* Until when it is fresh, in seconds; -1: it is not there. */
static long fresh(fixture_t *f, const char *path)
{
    devcache_hit_t *hit;
    apr_pool_t *p;
    long sec = -1;

    apr_pool_create(&p, pool);
    if (devcache_store_lookup(f->s, key_of(path, p), fixture_offer, NULL, &hit, p) ==
        APR_SUCCESS) {
        sec = (long)apr_time_sec(hit->fresh_until);
    }
    apr_pool_destroy(p);
    return sec;
}

static long purge(fixture_t *f, const devcache_ban_t *ban, const char *key, int soft,
                  apr_time_t now)
{
    devcache_purge_t what = {{NULL, 0}};
    apr_uint64_t n = 0;
    apr_status_t rv;
    apr_pool_t *p;

    apr_pool_create(&p, pool);
    devcache_ban_encode(ban, &what.what, p);
    what.key = key ? key_of(key, p) : devcache_slice(NULL, 0);
    what.now = now;
    what.soft = soft;
    rv = devcache_store_purge(f->s, &what, &n);
    apr_pool_destroy(p);
    if (rv != APR_SUCCESS) {
        printf("# a purge failed: %d\n", rv);
    }
    return rv == APR_SUCCESS ? (long)n : -1;
}

static long purge_tag(fixture_t *f, const char *tags, int soft, apr_time_t now)
{
    devcache_ban_t ban = {{DEVCACHE_BAN_ANY}};
    apr_pool_t *p;
    long n;

    apr_pool_create(&p, pool);
    ban.tags = tags_of(tags, p);
    n = purge(f, &ban, NULL, soft, now);
    apr_pool_destroy(p);
    return n;
}

static fixture_t begin(void)
{
    fixture_new_root();
    return fixture_open(SIZE, SEGMENT, 0);
}

/* ---- what goes ------------------------------------------------------------------ */

static void test_what_goes(void)
{
    devcache_ban_t all = {{DEVCACHE_BAN_ANY}};
    fixture_t f = begin();

    put(&f, "/a", "x y", SEC(10));
    put(&f, "/b", "y", SEC(10));
    put(&f, "/c", "", SEC(10));
    is_int(purge_tag(&f, "z", 0, SEC(20)), 0, "a tag that nothing has");
    is_int(purge_tag(&f, "x", 0, SEC(20)), 1, "a tag that one has");
    is_int(fresh(&f, "/a"), -1, "that one went");
    is_int(fresh(&f, "/b"), 1010, "another did not");
    is_int(purge_tag(&f, "y z", 1, SEC(20)), 1, "softly");
    is_int(fresh(&f, "/b"), 20, "it is there, and no longer fresh");
    is_int(purge_tag(&f, "y z", 1, SEC(30)), 1, "softly again");
    is_int(fresh(&f, "/b"), 20, "the first counts");
    is_int(purge(&f, &all, "/c", 1, SEC(30)), 1, "one key, softly");
    is_int(fresh(&f, "/c"), 30, "it is there, and no longer fresh");
    is_int(purge(&f, &all, "/none", 1, SEC(30)), 0, "a key that is not there");
    put(&f, "/a", "x", SEC(40));
    is_int(fresh(&f, "/a"), 1040, "what is stored after it stays");
    is_int(purge(&f, &all, NULL, 0, SEC(50)), 3, "everything");
    is_int((long long)fixture_stats(&f).objects, 0, "is gone");
    fixture_close(&f);
}

/* ---- fills ---------------------------------------------------------------------- */

static void test_overtaken(void)
{
    fixture_t f = begin();
    devcache_fill_t *same, *other, *many;
    apr_pool_t *p;
    int i;

    apr_pool_create(&p, pool);
    same = devcache_store_fill_begin(f.s, key_of("/same", p), p);
    other = devcache_store_fill_begin(f.s, key_of("/other", p), p);
    many = devcache_store_fill_begin(f.s, key_of("/many", p), p);
    purge_tag(&f, "x", 0, SEC(20));
    is_int(publish(same, "x y", SEC(10), 0, p), APR_EGENERAL, "begun before, bears it");
    is_int(publish(other, "y", SEC(10), 0, p), APR_SUCCESS,
           "begun before, bears another");
    is_int(put(&f, "/after", "x", SEC(30)), APR_SUCCESS, "begun after");
    for (i = 0; i < DEVCACHE_BANS; i++) {
        purge_tag(&f, "z", 0, SEC(20));
    }
    is_int(publish(many, "y", SEC(10), 0, p), APR_EGENERAL,
           "begun before more purges than are remembered");
    is_int((long long)fixture_stats(&f).superseded, 2, "both are counted");
    apr_pool_destroy(p);
    fixture_close(&f);
}

/* What the ring cannot keep, or keeps no longer, is taken for being about everything that
 * was begun before. */
static void test_not_kept(void)
{
    devcache_ban_t ban = {{DEVCACHE_BAN_ANY}};
    fixture_t f = begin();
    devcache_fill_t *before_long, *kept, *before_many;
    char *path;
    apr_pool_t *p;
    int i;

    apr_pool_create(&p, pool);
    path = apr_pcalloc(p, DEVCACHE_BAN_TEXT / 2);
    memset(path, 'a', DEVCACHE_BAN_TEXT / 2 - 1);
    ban.url.how = DEVCACHE_BAN_IS;
    before_long = devcache_store_fill_begin(f.s, key_of("/1", p), p);
    ban.url.text = path;
    purge(&f, &ban, NULL, 0, SEC(20));
    is_int(publish(before_long, "", SEC(10), 0, p), APR_EGENERAL, "too long to be kept");
    path[DEVCACHE_BAN_TEXT / 8] = '\0';
    before_many = devcache_store_fill_begin(f.s, key_of("/2", p), p);
    for (i = 0; i < 9; i++) {
        kept = devcache_store_fill_begin(f.s, key_of("/3", p), p);
        purge(&f, &ban, NULL, 0, SEC(20));
        is_int(publish(kept, "", SEC(10), 0, p), APR_SUCCESS, "a long one, kept");
    }
    is_int(publish(before_many, "", SEC(10), 0, p), APR_EGENERAL,
           "many long ones: the first is kept no longer");
    apr_pool_destroy(p);
    fixture_close(&f);
}

/* A 304 that no longer names the tag does not save the body that bore it. */
static void test_overtaken_refresh(void)
{
    devcache_publish_t what = {""};
    fixture_t f = begin();
    devcache_fill_t *fill;
    devcache_hit_t *hit;
    apr_pool_t *p;

    apr_pool_create(&p, pool);
    put(&f, "/a", "x", SEC(10));
    devcache_store_lookup(f.s, key_of("/a", p), fixture_offer, NULL, &hit, p);
    fill = devcache_store_fill_begin(f.s, key_of("/a", p), p);
    is_int(purge_tag(&f, "x", 0, SEC(20)), 1, "while it is validated");
    what.variant = what.meta = devcache_slice("", 0);
    what.tags = tags_of("y", p);
    what.requested_at = what.stored_at = SEC(15);
    what.fresh_until = SEC(1000);
    is_int(devcache_store_refresh(fill, hit, &what), APR_EGENERAL, "refused");
    is_int(fresh(&f, "/a"), -1, "gone");
    apr_pool_destroy(p);
    fixture_close(&f);
}

/* ---- eviction ------------------------------------------------------------------------ */

/* The effects of soft purges are carried on by eviction. */
static void test_evicted(void)
{
    fixture_t f = begin();
    char path[32];
    int i, hot = 0;

    for (i = 0; i < 40; i++) {
        snprintf(path, sizeof(path), "/soft%d", i);
        put(&f, path, "s", SEC(10));
        hot += fresh(&f, path) > 0;
    }
    is_int(purge_tag(&f, "s", 1, SEC(20)), 40, "forty softly");
    for (i = 0; i < 6000; i++) {
        snprintf(path, sizeof(path), "/fill%d", i);
        put(&f, path, "", SEC(30));
        if (i % 100 == 0) { /* keeps them in use */
            int j;
            for (j = 0; j < 40; j++) {
                snprintf(path, sizeof(path), "/soft%d", j);
                fresh(&f, path);
            }
        }
    }
    ok(fixture_stats(&f).requeued > 10, "they were carried on");
    for (i = hot = 0; i < 40; i++) {
        snprintf(path, sizeof(path), "/soft%d", i);
        hot += fresh(&f, path) == 20;
    }
    ok(hot > 10, "softly purged still: %d", hot);
    fixture_close(&f);
}

/* Killed in its course: nobody waits for the dead, and asked for again it is done. */
static void test_killed(const char *fault)
{
    fixture_t f = begin();
    devcache_fill_t *fill;
    int i, left = 0, status;
    char path[16];
    apr_pool_t *p;
    pid_t pid;

    apr_pool_create(&p, pool);
    for (i = 0; i < 200; i++) {
        snprintf(path, sizeof(path), "/%d", i);
        put(&f, path, i % 2 ? "x" : "y", SEC(10));
    }
    fill = devcache_store_fill_begin(f.s, key_of("/late", p), p);
    if ((pid = fork()) == 0) {
        setenv("DEVCACHE_FAULT", fault, 1);
        fixture_new_child(&f);
        purge_tag(&f, "x", 0, SEC(20));
        _exit(0);
    }
    ok(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status), "dies at %s", fault);
    fixture_new_child(&f); /* as the next child would start */
    ok(purge_tag(&f, "x", 0, SEC(20)) > 0, "asked for again");
    for (i = 0; i < 200; i++) {
        snprintf(path, sizeof(path), "/%d", i);
        left += fresh(&f, path) > 0;
    }
    is_int(left, 100, "half of them went");
    is_int(publish(fill, "x", SEC(10), 0, p), APR_EGENERAL,
           "what began before is refused");
    is_int(put(&f, "/new", "x", SEC(30)), APR_SUCCESS, "what began after is not");
    apr_pool_destroy(p);
    fixture_close(&f);
}

/* Bytes that are no ban. */
static void test_unclear(void)
{
    devcache_purge_t what = {{NULL, 0}, {"nonsense", 8}, SEC(20)};
    fixture_t f = begin();
    apr_uint64_t n = 7;

    put(&f, "/a", "x", SEC(10));
    is_int(devcache_store_purge(f.s, &what, &n), APR_EINVAL, "cannot be carried out");
    is_int((long long)n, 0, "and was not");
    is_int(fresh(&f, "/a"), 1010, "at all");
    fixture_close(&f);
}

/* ---- while others work ---------------------------------------------------------- */

#define KEYS 300
#define PURGES 150
#define PUBLISHERS 3

static unsigned calls; /* purges begun; atomic */
static int ending;     /* atomic */

/* Says in meta which purges had begun when its fill had: not more than had. */
static void *publisher(void *data)
{
    fixture_t *f = data;
    unsigned i = (unsigned)((apr_uintptr_t)&i >> 4);
    apr_pool_t *p;

    apr_pool_create_unmanaged(&p);
    while (!__atomic_load_n(&ending, __ATOMIC_ACQUIRE)) {
        static char body[3000];
        char path[32];
        devcache_fill_t *fill;
        unsigned seen;

        i = i * 1103515245 + 12345;
        snprintf(path, sizeof(path), "/%s/%u", i & 0x10000 ? "a" : "b", i / 65536 % KEYS);
        apr_pool_clear(p);
        fill = devcache_store_fill_begin(f->s, key_of(path, p), p);
        seen = __atomic_load_n(&calls, __ATOMIC_SEQ_CST);
        devcache_store_fill_write(fill, body, sizeof(body), -1);
        publish(fill, i & 0x10000 ? "x" : "y", SEC(10 + seen), seen, p);
    }
    apr_pool_destroy(p);
    return NULL;
}

/* Objects of one kind whose fills began before purge @a number. */
static int left_over(fixture_t *f, const char *kind, unsigned number)
{
    apr_pool_t *p;
    int i, left = 0;

    apr_pool_create_unmanaged(&p);
    for (i = 0; i < KEYS; i++) {
        devcache_hit_t *hit;
        unsigned seen;

        apr_pool_clear(p);
        if (devcache_store_lookup(f->s, key_of(apr_psprintf(p, "/%s/%d", kind, i), p),
                                  fixture_offer, NULL, &hit, p) == APR_SUCCESS &&
            hit->meta.len == sizeof(seen)) {
            memcpy(&seen, hit->meta.data, sizeof(seen));
            left += seen < number;
        }
    }
    apr_pool_destroy(p);
    return left;
}

/* Wait until the publishers have been busy. */
static void let_work(fixture_t *f, apr_uint64_t much)
{
    apr_uint64_t before = 0, now;

    do {
        devcache_store_stats_t st = fixture_stats(f);

        now = st.published + st.no_room + st.superseded;
        before = before ? before : now;
        sched_yield();
    } while (now < before + much);
}

static void test_hammer(void)
{
    devcache_ban_t prefix = {{DEVCACHE_BAN_ANY}, {DEVCACHE_BAN_PREFIX, "/a/"}};
    pthread_t t[PUBLISHERS];
    fixture_t f;
    long purged = 0;
    int i, left = 0, failed = 0;

    fixture_new_root();
    f = fixture_open(1 * MB, 64 * KB, 400); /* small: evicting all the time */
    for (i = 0; i < PUBLISHERS; i++) {
        pthread_create(&t[i], NULL, publisher, &f);
    }
    for (i = 1; i <= PURGES; i++) {
        long n;

        let_work(&f, 30);
        __atomic_store_n(&calls, (unsigned)i, __ATOMIC_SEQ_CST);
        n = i % 2 ? purge_tag(&f, "x", 0, SEC(10 + i))
                  : purge(&f, &prefix, NULL, 0, SEC(10 + i));
        failed += n < 0;
        purged += n > 0 ? n : 0;
        left += left_over(&f, "a", (unsigned)i);
    }
    __atomic_store_n(&ending, 1, __ATOMIC_RELEASE);
    for (i = 0; i < PUBLISHERS; i++) {
        pthread_join(t[i], NULL);
    }
    printf("# %ld purged, %llu superseded, %llu evicted, %llu requeued\n", purged,
           (unsigned long long)fixture_stats(&f).superseded,
           (unsigned long long)fixture_stats(&f).evicted,
           (unsigned long long)fixture_stats(&f).requeued);
    is_int(failed, 0, "all purges were carried out");
    is_int(left, 0, "nothing that had begun before a purge was found after it");
    ok(purged > PURGES, "there was something to purge");
    ok(fixture_stats(&f).evicted > 10, "with eviction under way");
    is_int((long long)fixture_stats(&f).damaged, 0, "nothing was damaged");
    ok(hammer_slots_agree(&f), "table, sums and directory agree");
    fixture_close(&f);
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    test_what_goes();
    test_not_kept();
    test_overtaken();
    test_overtaken_refresh();
    test_evicted();
    test_killed("kill-in-ring:1");
    test_killed("kill-in-sweep:60");
    test_unclear();
    test_hammer();
    apr_pool_destroy(pool);
    return done_testing();
}
