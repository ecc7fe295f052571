/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What machines share, without any: the table of recent purges, objects as bytes, the
 * breaker.
 */
#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "devcache_vary.h"
#include "purge/ban.h"
#include "purge/order.h"
#include "tap.h"
#include "tier/breaker.h"
#include "tier/object.h"
#include "tier/recent.h"

static apr_pool_t *pool;
static devcache_recent_t *recent;

/* ---- purges and objects -------------------------------------------------------------- */

static devcache_slice_t tag(const char *name)
{
    devcache_tags_t tags;

    devcache_ban_tags_begin(&tags, pool);
    devcache_ban_tags_list(&tags, name);
    return devcache_ban_tags_end(&tags, pool);
}

static devcache_slice_t order_of(devcache_order_e kind, const char *path,
                                 const devcache_ban_t *ban)
{
    devcache_order_t order = {kind};

    if (path) {
        order.host = "h";
        order.path = path;
    }
    if (ban) {
        devcache_ban_encode(ban, &order.ban, pool);
    }
    return devcache_order_encode(&order, pool);
}

static void note(unsigned at, apr_uint64_t ms, apr_uint64_t node, apr_uint64_t number,
                 devcache_slice_t order)
{
    devcache_tier_purge_t purge = {node, number, 0, order};
    devcache_tier_id_t id = {ms, 0};

    devcache_recent_note(recent, at, id, order.data ? &purge : NULL, pool);
}

static int others; /* of the last one that was judged */

static int allows(unsigned at, apr_uint64_t run, apr_uint64_t ms, apr_uint64_t node,
                  apr_uint64_t number, const char *path, const char *tags)
{
    devcache_recent_then_t then = {at, run, {ms, 0}, node, number};
    devcache_described_t object = {devcache_vary_key("http", "h", 80, path, NULL, pool),
                                   devcache_slice("", 0), devcache_slice("", 0),
                                   tags ? tag(tags) : devcache_slice("", 0)};

    return devcache_recent_allows(recent, &then, 0, 0, &object, &others, pool);
}

static void begin(const char *name, apr_uint64_t run)
{
    recent = devcache_recent_open(name, pool);
    note(0, 100, 0, 0, devcache_slice(NULL, 0));
    devcache_recent_begin(recent, 0, run);
}

static void test_recent(void)
{
    devcache_ban_t by_tag = {{DEVCACHE_BAN_ANY}}, prefix = {{DEVCACHE_BAN_ANY}};
    const devcache_slice_t nothing = {NULL, 0};

    by_tag.tags = tag("red blue");
    prefix.url.how = DEVCACHE_BAN_REGEX;
    prefix.url.text = "^/p/.*x$";
    recent = devcache_recent_open("one", pool);
    ok(!allows(0, 7, 100, 9, 0, "/a", NULL), "nothing is known: no");
    devcache_recent_begin(recent, 0, 7);
    ok(!allows(0, 7, 100, 9, 0, "/a", NULL), "its entry is not there: no");
    note(0, 100, 0, 0, nothing);
    ok(allows(0, 7, 100, 9, 0, "/a", NULL), "it is: yes");
    ok(!allows(0, 8, 100, 9, 0, "/a", NULL), "of another run: no");
    ok(!allows(1, 7, 100, 9, 0, "/a", NULL), "of another server: no");
    note(0, 101, 1, 1, order_of(DEVCACHE_ORDER_URL, "/a", NULL));
    ok(!allows(0, 7, 100, 9, 0, "/a", NULL), "its URL was purged since");
    ok(allows(0, 7, 100, 9, 0, "/b", NULL), "another was not");
    ok(allows(0, 7, 101, 9, 0, "/a", NULL), "fetched after that");
    ok(allows(0, 7, 100, 1, 1, "/a", NULL), "its maker's own purge, before it began");
    ok(!allows(0, 7, 100, 1, 0, "/a", NULL), "its maker's own purge, after that");
    note(0, 102, 1, 2, order_of(DEVCACHE_ORDER_MANY, NULL, &by_tag));
    ok(!allows(0, 7, 101, 9, 0, "/t", "green blue"), "a tag");
    ok(allows(0, 7, 101, 9, 0, "/t", "green"), "another tag");
    ok(allows(0, 7, 101, 9, 0, "/t", NULL), "no tag");
    note(0, 103, 1, 3, order_of(DEVCACHE_ORDER_MANY, NULL, &prefix));
    ok(!allows(0, 7, 102, 9, 0, "/p/ax", NULL), "a pattern");
    ok(allows(0, 7, 102, 9, 0, "/p/ay", NULL), "that it does not match");
    ok(allows(0, 7, 103, 9, 0, "/p/ax", NULL), "fetched after that");
    note(0, 104, 1, 4, order_of(DEVCACHE_ORDER_DOUBT, NULL, NULL));
    ok(!allows(0, 7, 103, 9, 0, "/z", NULL), "doubt about everything");
    note(0, 105, 1, 5, devcache_slice("\x63nonsense", 9));
    ok(!allows(0, 7, 104, 9, 0, "/z", NULL), "a purge that is not understood");
    ok(allows(0, 7, 105, 9, 0, "/z", NULL), "after it");
    ok(devcache_recent_open("one", pool) == recent, "the same over a reload");
}

/* A purge that was published here and has not come back yet. */
static void test_on_its_way(void)
{
    begin("way", 7);
    note(DEVCACHE_RECENT_NOWHERE, 0, 5, 1, order_of(DEVCACHE_ORDER_URL, "/a", NULL));
    ok(!allows(0, 7, 100, 9, 0, "/a", NULL), "not read back yet: no");
    ok(allows(0, 7, 100, 9, 0, "/b", NULL), "what it is not about: yes");
    note(0, 101, 0, 0, devcache_slice(NULL, 0));
    ok(!allows(0, 7, 101, 9, 0, "/a", NULL), "a later position does not help");
    ok(allows(0, 7, 101, 5, 1, "/a", NULL), "but that it is its maker's own");
    note(0, 102, 5, 1, order_of(DEVCACHE_ORDER_URL, "/a", NULL));
    ok(!allows(0, 7, 101, 9, 0, "/a", NULL), "read back: before it");
    ok(allows(0, 7, 102, 9, 0, "/a", NULL), "after it");
}

static void test_bounds(void)
{
    devcache_slice_t order = order_of(DEVCACHE_ORDER_URL, "/a", NULL);
    apr_uint64_t i;

    begin("bounds", 7);
    note(1, 100, 0, 0, devcache_slice(NULL, 0));
    devcache_recent_begin(recent, 1, 8);
    for (i = 1; i < DEVCACHE_RECENT_PURGES - 1; i++) {
        note(0, 100 + i, 1, i, order);
    }
    ok(allows(0, 7, 100, 9, 0, "/b", NULL), "it reaches back so far");
    note(0, 100 + i, 1, i, order);
    ok(!allows(0, 7, 100, 9, 0, "/b", NULL), "and no farther");
    ok(allows(0, 7, 101, 9, 0, "/b", NULL), "the next one is there");
    /* The other server has none of them, and its own entry is long gone. */
    note(1, 200, 2, 1, order);
    ok(allows(1, 8, 200, 9, 0, "/b", NULL), "nothing is pushed out that it lacks");
    for (i++; i < DEVCACHE_RECENT_PURGES + 20; i++) {
        note(0, 100 + i, 1, i, order);
    }
    note(1, 201, 2, 2, order);
    ok(!allows(1, 8, 201, 9, 0, "/b", NULL), "something was: it is not used");
    note(1, 202, 1, 60, order);
    ok(allows(1, 8, 202, 9, 0, "/b", NULL), "until that has come");
    begin("bytes", 7);
    for (i = 1; i <= 40; i++) {
        char *text = apr_palloc(pool, 40000);
        devcache_ban_t ban = {{DEVCACHE_BAN_ANY}};

        memset(text, 'x', 39999);
        text[39999] = '\0';
        ban.url.how = DEVCACHE_BAN_IS;
        ban.url.text = text;
        note(0, 100 + i, 1, i, order_of(DEVCACHE_ORDER_MANY, NULL, &ban));
    }
    ok(!allows(0, 7, 110, 9, 0, "/b", NULL), "bounded in bytes too");
    ok(allows(0, 7, 130, 9, 0, "/b", NULL), "what is there is in one piece");
}

static void test_streams(void)
{
    begin("streams", 7);
    note(0, 101, 1, 1, order_of(DEVCACHE_ORDER_URL, "/a", NULL));
    devcache_recent_forget(recent, 0);
    ok(!allows(0, 7, 101, 9, 0, "/b", NULL), "a gap: nothing is used");
    ok(!devcache_recent_has(recent, 0), "and no entry is known");
    note(0, 500, 2, 1, order_of(DEVCACHE_ORDER_URL, "/c", NULL));
    devcache_recent_begin(recent, 0, 9);
    ok(!allows(0, 9, 101, 9, 0, "/b", NULL), "an entry of the old stream is none");
    ok(allows(0, 9, 500, 9, 0, "/a", NULL), "what was purged there is long ago");
    devcache_recent_await(recent, 0, 3, 10);
    ok(!allows(0, 9, 500, 9, 0, "/b", NULL), "a purge is awaited");
    note(0, 501, 3, 9, order_of(DEVCACHE_ORDER_URL, "/c", NULL));
    ok(!allows(0, 9, 501, 9, 0, "/b", NULL), "not that one");
    note(0, 502, 3, 10, order_of(DEVCACHE_ORDER_URL, "/c", NULL));
    ok(allows(0, 9, 502, 9, 0, "/b", NULL), "it has come");
}

static void test_own_removals(void)
{
    devcache_slice_t key = devcache_vary_key("http", "h", 80, "/a", NULL, pool);
    devcache_described_t object = {key, {"", 0}, {"", 0}, {"", 0}};
    devcache_recent_then_t then = {0, 7, {100, 0}, 9, 0};

    begin("own", 7);
    devcache_recent_note_key(recent, key, apr_time_from_sec(1000));
    ok(!devcache_recent_allows(recent, &then, apr_time_from_sec(60),
                               apr_time_from_sec(1050), &object, &others, pool),
       "fetched ten seconds before it was removed here");
    ok(!devcache_recent_allows(recent, &then, apr_time_from_sec(50),
                               apr_time_from_sec(1050), &object, &others, pool),
       "at the same moment");
    ok(devcache_recent_allows(recent, &then, apr_time_from_sec(40),
                              apr_time_from_sec(1050), &object, &others, pool),
       "ten seconds after");
    ok(!others, "  so is every query");
    object.key = devcache_vary_key("http", "h", 80, "/a", "q", pool);
    ok(devcache_recent_allows(recent, &then, apr_time_from_sec(60),
                              apr_time_from_sec(1050), &object, &others, pool) &&
           others,
       "another query: allowed, and said");
}

static int news;

/* Whole seconds. */
static int set_back(unsigned at, int clock, int took)
{
    return (int)apr_time_sec(devcache_recent_set_back(
        recent, at, apr_time_from_sec(clock), apr_time_from_sec(took), &news));
}

static void test_clock(void)
{
    begin("clock", 7);
    ok(!set_back(0, 50, 0) && !set_back(0, 90, 0), "a server's clock goes on,");
    ok(!set_back(0, 89, 0), "  or back by a second,");
    ok(!set_back(0, 60, 30), "  or was asked long before");
    ok(set_back(0, 60, 3) == 90, "set back by half a minute");
    ok(news, "  which is news");
    ok(set_back(0, 60, 3) == 90 && !news, "  once");
    ok(set_back(0, 61, 0) == 90 && set_back(0, 100, 0) == 90, "  and that stays known");
    ok(!set_back(1, 10, 0), "another server's is its own");
    devcache_recent_forget(recent, 0);
    ok(!set_back(0, 20, 0), "so is a new one's");
}

/* By No-Vary-Search an object may be for many of them. */
static void test_queries(void)
{
    devcache_order_t order = {DEVCACHE_ORDER_URL, 0, "h", "/a", {"b", "b"}};

    begin("queries", 7);
    note(0, 110, 9, 2, devcache_order_encode(&order, pool));
    ok(allows(0, 7, 110, 8, 0, "/a", NULL) && !others, "after a purge of /a?b");
    ok(allows(0, 7, 100, 8, 0, "/a", NULL) && others,
       "before it: /a is from before others");
    ok(allows(0, 7, 100, 8, 0, "/b", NULL) && !others, "before it: /b is not");
}

/* ---- objects ---------------------------------------------------------------------------- */

static const char *const name = "x:o:1";

static devcache_slice_t object_bytes(apr_size_t body, const devcache_tier_key_t *key)
{
    devcache_tier_object_t o = {{0, 7, {100, 3}, 9, 4}, 1000, 2000, 30, 4000};
    devcache_record_t *rec = &o.record;
    apr_size_t len;
    char *room;

    rec->key = devcache_slice_str("key");
    rec->spec = devcache_slice_str("@device");
    rec->variant = devcache_slice_str("variant");
    rec->meta = devcache_slice_str("meta");
    rec->tags = devcache_slice_str("12345678");
    rec->body = devcache_slice("", body);
    rec->body_len = body;
    devcache_record_measure(rec);
    room = apr_palloc(pool, devcache_tier_object_size(rec));
    memset(devcache_tier_object_body(room, rec), 'b', body);
    devcache_tier_object_seal(room, rec, 77, pool);
    len = devcache_tier_object_finish(room, &o, name, key);
    ok(len > 0 && len <= devcache_tier_object_size(rec), "an object of %d", (int)body);
    return devcache_slice(room, len);
}

static void test_object(devcache_tier_key_t key, apr_size_t body)
{
    devcache_slice_t bytes = object_bytes(body, &key);
    devcache_tier_key_t other = {devcache_slice_str("another secret of ours"), "x"};
    devcache_tier_object_t o;
    int taken = 0;
    apr_size_t i;

    is_int(devcache_tier_object_read(bytes, name, 77, &key, &o),
           DEVCACHE_TIER_READ_OBJECT, "it is read");
    ok(o.then.run == 7 && o.then.position.ms == 100 && o.then.position.seq == 3 &&
           o.then.node == 9 && o.then.number == 4 && o.began == 1000 &&
           o.written == 2000 && o.age == 30 && o.left == 4000,
       "what is said of it");
    ok(devcache_slice_eq(o.record.key, devcache_slice_str("key")) &&
           devcache_slice_eq(o.record.tags, devcache_slice_str("12345678")) &&
           o.record.body.len == body &&
           (body == 0 || o.record.body.data[body - 1] == 'b'),
       "its parts");
    ok(!devcache_tier_object_read(bytes, name, 78, &key, &o), "another configuration");
    ok(!devcache_tier_object_read(bytes, name, 77, &other, &o), "another key");
    if (key.secret.data) {
        ok(!devcache_tier_object_read(bytes, "x:o:2", 77, &key, &o), "another name");
    }
    for (i = 0; i < bytes.len; i += 1 + bytes.len / 500) {
        char *copy = apr_pmemdup(pool, bytes.data, bytes.len);

        taken += devcache_tier_object_read(devcache_slice(copy, i), name, 77, &key, &o) !=
                 DEVCACHE_TIER_READ_NOTHING;
        copy[i] ^= 1 << (i % 8);
        /* Without a key what stands before the record is believed. */
        taken += devcache_tier_object_read(devcache_slice(copy, bytes.len), name, 77,
                                           &key, &o) != DEVCACHE_TIER_READ_NOTHING &&
                 (key.secret.data || i >= 2 + 9 * 8);
    }
    is_int(taken, 0, "nothing cut or changed is taken");
}

static void test_hint(devcache_tier_key_t key)
{
    devcache_slice_t hint = devcache_tier_object_hint("@device cookie", name, &key, pool);
    devcache_tier_object_t o;

    is_int(devcache_tier_object_read(hint, name, 77, &key, &o), DEVCACHE_TIER_READ_HINT,
           "a hint");
    ok(devcache_slice_eq(o.record.spec, devcache_slice_str("@device cookie")),
       "its spec");
    hint = devcache_tier_object_hint("a\nb", name, &key, pool);
    ok(!devcache_tier_object_read(hint, name, 77, &key, &o), "that is no spec");
}

/* ---- the breaker ---------------------------------------------------------------------- */

static void test_breaker(void)
{
    devcache_breaker_t b = {0};
    apr_time_t now = apr_time_from_sec(100);
    int i;

    for (i = 0; i < 4; i++) {
        devcache_breaker_failure(&b, now);
    }
    ok(devcache_breaker_lets(&b, now), "four failures");
    devcache_breaker_failure(&b, now + 2 * APR_USEC_PER_SEC);
    ok(devcache_breaker_lets(&b, now + 2 * APR_USEC_PER_SEC), "a fifth, too late");
    now += 2 * APR_USEC_PER_SEC;
    for (i = 0; i < 4; i++) {
        devcache_breaker_failure(&b, now);
    }
    ok(!devcache_breaker_lets(&b, now) && devcache_breaker_is_open(&b, now), "open");
    now += APR_USEC_PER_SEC + 1;
    ok(devcache_breaker_lets(&b, now), "a second later one may try");
    ok(!devcache_breaker_lets(&b, now), "and no other");
    devcache_breaker_failure(&b, now);
    ok(!devcache_breaker_lets(&b, now + APR_USEC_PER_SEC * 3 / 2), "twice as long");
    now += 2 * APR_USEC_PER_SEC + 1;
    ok(devcache_breaker_lets(&b, now), "then again");
    devcache_breaker_success(&b);
    ok(devcache_breaker_lets(&b, now) && devcache_breaker_lets(&b, now), "it works");
    for (i = 0; i < 20; i++) {
        now += apr_time_from_sec(40);
        devcache_breaker_failure(&b, now);
        devcache_breaker_failure(&b, now);
        devcache_breaker_failure(&b, now);
        devcache_breaker_failure(&b, now);
        devcache_breaker_failure(&b, now);
    }
    ok(devcache_breaker_lets(&b, now + apr_time_from_sec(31)), "thirty seconds at most");
}

int main(void)
{
    devcache_tier_key_t none = {{NULL, 0}, "x"}, key = {{NULL, 0}, "x"};

    apr_initialize();
    apr_pool_create(&pool, NULL);
    key.secret = devcache_slice_str("0123456789abcdef");
    test_recent();
    test_on_its_way();
    test_bounds();
    test_streams();
    test_own_removals();
    test_queries();
    test_clock();
    test_object(none, 0);
    test_object(none, 3000);
    test_object(none, 400000);
    test_object(key, 3000);
    test_object(key, 400000);
    test_hint(none);
    test_hint(key);
    test_breaker();
    apr_pool_destroy(pool);
    return done_testing();
}
