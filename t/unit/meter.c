/* SPDX-License-Identifier: Apache-2.0 */
/* devcache_meter, devcache_top, devcache_trouble: what is counted in shared memory, also
 * by several processes at once and by some that are killed. */
#include "stats/meter.h"

#include <stdlib.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <apr_general.h>
#include <apr_strings.h>
#include "stats/stats.h"
#include "stats/top.h"
#include "stats/trouble.h"
#include "tap.h"

#define MINUTE apr_time_from_sec(60)
#define NOW (apr_time_from_sec(1782777600) + 123456)

static apr_pool_t *pool;

static devcache_cell_t read_cell(unsigned i)
{
    devcache_cell_t cell;

    memset(&cell, 0, sizeof cell);
    devcache_meter_add(&cell, i);
    return cell;
}

static devcache_sample_t sample(unsigned cell, devcache_outcome_e outcome)
{
    devcache_sample_t s = {0};

    s.cell = cell;
    s.outcome = outcome;
    s.origin = -1;
    return s;
}

/* ---- before there is shared memory ---------------------------------------------- */

static void test_nothing(void)
{
    devcache_sample_t s = sample(0, DEVCACHE_OUTCOME_HIT);
    devcache_minute_t minutes[DEVCACHE_MINUTES];
    apr_interval_time_t lasted;

    is_int((long long)devcache_meter_count(&s, NOW), 0, "counting does nothing");
    is_int(devcache_meter_cells(), 0, "no cells");
    is_int(devcache_meter_name("a", "pc"), 0, "no names");
    devcache_meter_minutes(NOW, minutes);
    is_int((long long)minutes[59].groups[DEVCACHE_GROUP_HIT], 0, "no minutes");
    is_int(devcache_top_read(NOW, &lasted, pool)->nelts, 0, "no URLs");
    devcache_trouble_note("x", NULL, NOW);
    is_int(devcache_trouble_read(pool)->nelts, 0, "no trouble");
}

/* ---- cells ---------------------------------------------------------------------- */

static void test_cells(void)
{
    char longer[300];
    devcache_cell_t cell;
    unsigned a;

    is_int(devcache_meter_cells(), 1, "one cell from the start");
    is_str(read_cell(0).vhost, "other", "is for all others");
    a = devcache_meter_name("a:80", "pc");
    is_int(a, 1, "a cell");
    is_int(devcache_meter_name("a:80", "mobile"), 2, "another");
    is_int(devcache_meter_name("a:80", "pc"), a, "the first one again");
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    is_int(devcache_meter_name(longer, longer), 3, "a name that is too long");
    is_int(devcache_meter_name(longer, longer), 3, "is cut in the same way each time");
    cell = read_cell(3);
    is_int((long long)strlen(cell.vhost), DEVCACHE_VHOST_MAX - 1, "to its limit");
    is_int(devcache_meter_name("b:80", "pc"), 0, "no room: other");
    is_int(devcache_meter_cells(), 4, "four in all");
}

static void test_counting(void)
{
    devcache_sample_t s = sample(1, DEVCACHE_OUTCOME_MISS);
    devcache_cell_t cell;

    s.answered = 2000;
    s.origin = 1500;
    s.sent_by_origin = 10;
    s.received = 20;
    devcache_meter_count(&s, NOW);
    s.failed = s.origin_failed = 1;
    s.answered = 3000000;
    devcache_meter_count(&s, NOW);
    s = sample(1, DEVCACHE_OUTCOME_HIT);
    s.sent_by_cache = 7;
    devcache_meter_count(&s, NOW);
    s.cell = 99;
    devcache_meter_count(&s, NOW);

    cell = read_cell(1);
    is_int((long long)devcache_histogram_total(&cell.answers[DEVCACHE_OUTCOME_MISS][0]),
           1, "a miss");
    is_int((long long)cell.answers[DEVCACHE_OUTCOME_MISS][1].sum, 3000000,
           "and one that failed");
    is_int((long long)devcache_histogram_total(&cell.origin[0]), 1, "the origin, well");
    is_int((long long)devcache_histogram_total(&cell.origin[1]), 1, "the origin, failed");
    is_int((long long)cell.sent_by_origin, 20, "bytes of the origin's");
    is_int((long long)cell.sent_by_cache, 7, "bytes of the cache's");
    is_int((long long)cell.received, 40, "bytes received");
    cell = read_cell(0);
    is_int((long long)devcache_histogram_total(&cell.answers[DEVCACHE_OUTCOME_HIT][0]), 1,
           "a cell that is not there: other");
}

/* ---- minutes -------------------------------------------------------------------- */

static apr_uint64_t count_hit(apr_time_t now)
{
    devcache_sample_t s = sample(0, DEVCACHE_OUTCOME_HIT);

    return devcache_meter_count(&s, now);
}

static apr_uint64_t hits_at(apr_time_t now, unsigned ago)
{
    devcache_minute_t minutes[DEVCACHE_MINUTES];

    devcache_meter_minutes(now, minutes);
    return minutes[DEVCACHE_MINUTES - 1 - ago].groups[DEVCACHE_GROUP_HIT];
}

static void test_minutes(void)
{
    apr_time_t later = NOW + 200 * MINUTE;
    devcache_minute_t minutes[DEVCACHE_MINUTES];

    is_int((long long)hits_at(NOW, 0), 2, "this minute");
    is_int((long long)hits_at(NOW + MINUTE, 1), 2, "a minute ago");
    is_int((long long)hits_at(NOW + 59 * MINUTE, 59), 2, "an hour ago");
    is_int((long long)hits_at(NOW + 64 * MINUTE, 0), 0, "its place comes round: empty");
    is_int((long long)count_hit(NOW + 64 * MINUTE), 0, "the first of that minute");
    is_int((long long)count_hit(NOW + 64 * MINUTE), 1, "the second");
    is_int((long long)hits_at(NOW + 64 * MINUTE, 0), 2, "are counted from 0");
    count_hit(NOW); /* a late thread: its minute's place is taken */
    is_int((long long)hits_at(NOW + 64 * MINUTE, 0), 2, "a late one does no harm");
    is_int((long long)hits_at(later, 5), 0, "a gap is empty");
    devcache_meter_minutes(later, minutes);
    ok(minutes[59].begun <= later && minutes[59].begun + MINUTE > later,
       "the last is now");
    ok(minutes[59].begun - minutes[0].begun == 59 * MINUTE, "the first is an hour ago");
}

/* ---- several processes ---------------------------------------------------------- */

static const char *url_of(devcache_slice_t key, apr_pool_t *p)
{
    return apr_psprintf(p, "http://h/%.*s", (int)key.len, key.data);
}

static void count_url(const char *name, unsigned weight, int hit, apr_time_t now)
{
    devcache_top_count(devcache_slice_str(name), url_of, weight, hit, now, pool);
}

/* Count without end: what everybody does, and URLs that push each other out. */
static void child(unsigned seed, apr_time_t now)
{
    unsigned i;

    apr_pool_create(&pool, NULL);
    for (i = 0;; i++) {
        count_hit(now);
        count_url(apr_psprintf(pool, "%u", (i * 7919 + seed) % 500), 1, 1, now);
        count_url("popular", 3, 0, now);
        devcache_trouble_note(apr_psprintf(pool, "trouble %u", (i + seed) % 50), "e",
                              now);
        apr_pool_clear(pool);
    }
}

/* Hits in the cell that children count in. */
static apr_uint64_t counted(void)
{
    devcache_cell_t cell = read_cell(0);

    return devcache_histogram_total(&cell.answers[DEVCACHE_OUTCOME_HIT][0]);
}

static void test_killed(void)
{
    apr_time_t now = NOW + 300 * MINUTE;
    apr_interval_time_t lasted;
    apr_array_header_t *list;
    apr_uint64_t before = counted();
    int round, i, whole = 0;

    for (round = 0; round < 40; round++) {
        apr_uint64_t enough = counted() + 2000;
        pid_t pids[3];
        now += apr_time_from_sec(3);
        for (i = 0; i < 3; i++) {
            if ((pids[i] = fork()) == 0) {
                child((unsigned)(round * 3 + i), now);
            }
        }
        while (counted() < enough) {
        }
        for (i = 0; i < 3; i++) {
            kill(pids[i], SIGKILL);
        }
        for (i = 0; i < 3; i++) {
            waitpid(pids[i], NULL, 0);
        }
    }
    ok(counted() - before >= 80000, "killed ones have counted");
    list = devcache_top_read(now, &lasted, pool);
    ok(list->nelts >= DEVCACHE_TOP_URLS - 3, "the table of URLs is full");
    is_str(APR_ARRAY_IDX(list, 0, devcache_top_t).url, "http://h/popular",
           "led by the busiest");
    for (i = 0; i < list->nelts; i++) {
        const devcache_top_t *t = &APR_ARRAY_IDX(list, i, devcache_top_t);
        const char *digits = t->url + strlen("http://h/");
        whole += !strcmp(digits, "popular") ||
                 strspn(digits, "0123456789") == strlen(digits);
    }
    is_int(whole, list->nelts, "no URL is in pieces");
    list = devcache_trouble_read(pool);
    for (i = whole = 0; i < list->nelts; i++) {
        const devcache_trouble_t *t = &APR_ARRAY_IDX(list, i, devcache_trouble_t);
        whole += !strncmp(t->what, "trouble ", 8) && !strcmp(t->example, "e");
    }
    ok(list->nelts >= DEVCACHE_TROUBLES - 3, "nor is the list of trouble empty");
    is_int(whole, list->nelts, "or in pieces");
    devcache_trouble_note("after all that", NULL, now + apr_time_from_sec(3));
    list = devcache_trouble_read(pool);
    is_str(APR_ARRAY_IDX(list, 0, devcache_trouble_t).what, "after all that",
           "a killed one blocks nobody");
    count_url("after", 1u << 30, 1, now + apr_time_from_sec(3));
    list = devcache_top_read(now + apr_time_from_sec(3), &lasted, pool);
    is_str(APR_ARRAY_IDX(list, 0, devcache_top_t).url, "http://h/after", "here neither");
}

/* ---- busiest URLs --------------------------------------------------------------- */

static const devcache_top_t *found(const apr_array_header_t *list, const char *url)
{
    int i;

    for (i = 0; i < list->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(list, i, devcache_top_t).url, url)) {
            return &APR_ARRAY_IDX(list, i, devcache_top_t);
        }
    }
    return NULL;
}

static void test_top(void)
{
    apr_time_t now = NOW + 500 * MINUTE;
    apr_interval_time_t lasted;
    const devcache_top_t *t;
    apr_array_header_t *list;
    int i;

    for (i = 0; i < 5000; i++) { /* a flood of strangers, between regulars */
        count_url(apr_psprintf(pool, "%d", i), 1, 0, now);
        if (i % 10 == 0) {
            count_url("regular", 1, i % 20 == 0, now);
        }
    }
    list = devcache_top_read(now, &lasted, pool);
    t = found(list, "http://h/regular");
    if (ok(t != NULL, "one in ten is found among 5000 that come once")) {
        ok(t->requests >= 500 && t->requests - t->over <= 500, "500 lies between");
        ok(t->hits * 2 >= t->requests - t->over - 10 && t->hits <= 250, "half were hits");
    }
    count_url("regular", 64, 1, now + 5 * MINUTE);
    list = devcache_top_read(now + 5 * MINUTE, &lasted, pool);
    t = found(list, "http://h/regular");
    ok(t && t->requests >= 564, "the next window is added to the one before");
    ok(lasted > 5 * MINUTE && lasted <= 10 * MINUTE, "for five to ten minutes");
    list = devcache_top_read(now + 10 * MINUTE, &lasted, pool);
    t = found(list, "http://h/regular");
    is_int(t ? (long long)t->requests : 0, 64, "and the oldest is forgotten");
    is_int(devcache_top_read(now + 30 * MINUTE, &lasted, pool)->nelts, 0,
           "in the end all");
}

static void test_weight(void)
{
    apr_uint64_t sum = 0;
    int i;

    is_int(devcache_top_weight(0, NOW), 1, "few requests: each one");
    for (i = 0; i < 640000; i++) {
        sum += devcache_top_weight(100000, NOW + i * 7);
    }
    ok(sum > 600000 && sum < 680000, "many: as many in sum (%d)", (int)sum);
}

/* ---- trouble -------------------------------------------------------------------- */

static void test_trouble(void)
{
    const devcache_trouble_t *t;
    char longer[400];
    int i;

    for (i = 0; i < DEVCACHE_TROUBLES; i++) {
        devcache_trouble_note(apr_psprintf(pool, "kind %d", i), "x",
                              NOW + 600 * MINUTE + i);
    }
    devcache_trouble_note("kind 0", "another", NOW + 600 * MINUTE + 1000);
    memset(longer, 'l', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    devcache_trouble_note(longer, longer, NOW + 600 * MINUTE + 2000);
    t = &APR_ARRAY_IDX(devcache_trouble_read(pool), 0, devcache_trouble_t);
    is_int((long long)strlen(t->what), DEVCACHE_TROUBLE_TEXT - 1, "a long one is cut");
    t++;
    is_str(t->what, "kind 0", "the same again");
    is_int((long long)t->times, 2, "is counted");
    is_str(t->example, "x", "with its first example");
    is_int((long long)(t->last - t->first), 1000, "first and last time");
    t += DEVCACHE_TROUBLES - 2;
    is_str(t->what, "kind 2", "the one quiet for longest gave way");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&pool, NULL);
    test_nothing();
    ok(devcache_stats_create(pool) == APR_SUCCESS &&
           devcache_meter_create(4, pool) == APR_SUCCESS &&
           devcache_top_create(NOW, pool) == APR_SUCCESS &&
           devcache_trouble_create(pool) == APR_SUCCESS,
       "made");
    test_cells();
    test_counting();
    test_minutes();
    test_killed();
    test_top();
    test_weight();
    test_trouble();
    return done_testing();
}
