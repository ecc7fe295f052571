/* SPDX-License-Identifier: Apache-2.0 */
/* Shared memory alone: stripes, removals, specs, slots and heads, and their repair. */
#include <apr_general.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "store/ghost.h"
#include "store/index.h"
#include "store/slot.h"
#include "store/spec.h"
#include "tap.h"

#define MB (1024u * 1024u)

static devcache_shared_t new_shared(apr_uint64_t size, apr_uint64_t segment,
                                    apr_uint64_t objects)
{
    char name[] = "/tmp/devcache-index-XXXXXX";
    devcache_shared_t sh = {{0}};
    devcache_geometry_t g;
    int fd = mkstemp(name);

    devcache_shared_plan(&g, size, segment, objects);
    if (fd < 0 || ftruncate(fd, (off_t)devcache_shared_size(&g)) != 0 ||
        devcache_shared_map(&sh, fd, &g) != APR_SUCCESS) {
        perror(name);
        exit(1);
    }
    unlink(name);
    close(fd);
    devcache_shared_format(&sh, 12345, 1, 1);
    devcache_shared_renew_locks(&sh);
    devcache_index_relink_all(&sh);
    return sh;
}

/* A segment that is alive, for entries to point at. */
static devcache_file_t new_segment(devcache_shared_t *sh)
{
    devcache_file_t file = {0, DEVCACHE_FILE_SEGMENT, 0};

    devcache_slot_take(sh, sh->g.segment_size, devcache_process_self(), &file);
    devcache_slot_spare(sh, &file);
    return file;
}

static devcache_put_t new_put(const devcache_shared_t *sh, const devcache_file_t *segment,
                              apr_uint64_t key, apr_uint64_t variant, apr_time_t at)
{
    devcache_record_t rec = {0};
    devcache_file_t inline_body = {0};
    devcache_put_t put = {{{0}}};

    rec.stored_at = at;
    rec.length = 100;
    put.entry.key_hash = key;
    put.entry.variant_hash = variant;
    devcache_index_point_at(&put.entry, &rec, segment, 64 * (apr_uint64_t)at,
                            &inline_body);
    put.ticket = devcache_index_ticket(sh, key);
    put.max_variants = 64;
    return put;
}

static apr_status_t put_one(devcache_shared_t *sh, const devcache_file_t *segment,
                            apr_uint64_t key, apr_uint64_t variant, apr_time_t at)
{
    devcache_put_t put = new_put(sh, segment, key, variant, at);
    devcache_drops_t drops;

    return devcache_index_put(sh, &put, &drops);
}

static unsigned find_one(devcache_shared_t *sh, apr_uint64_t key, devcache_match_t *first)
{
    devcache_match_t found[DEVCACHE_MATCHES];
    unsigned n = devcache_index_find(sh, key, found);

    if (n && first) {
        *first = found[0];
    }
    return n;
}

/* Of too many variants those go that nobody uses, however old the others are. */
static void test_made_up_variants(void)
{
    devcache_shared_t sh = new_shared(16 * MB, MB, 4096);
    devcache_file_t seg = new_segment(&sh);
    devcache_match_t m, found[DEVCACHE_MATCHES];
    unsigned at, n, used = 0, newest = 0;
    apr_uint64_t i;

    put_one(&sh, &seg, 1, 1, 10);
    find_one(&sh, 1, &m);
    devcache_index_note_use(&m);
    for (i = 2; i <= 500; i++) {
        put_one(&sh, &seg, 1, i, 10 + (apr_time_t)i);
    }
    n = devcache_index_find(&sh, 1, found);
    for (at = 0; at < n; at++) {
        used |= found[at].entry.variant_hash == 1;
        newest += found[at].entry.variant_hash > 500 - 63;
    }
    is_int(n, 64, "as many variants are kept as there may be");
    ok(used, "500 made-up ones do not put out one that is used");
    is_int(newest, 63, "of those that nobody has used the newest stay");
    for (at = 0; at < n; at++) {
        if (found[at].entry.variant_hash != 1) {
            devcache_index_note_use(&found[at]);
        }
    }
    put_one(&sh, &seg, 1, 501, 600);
    put_one(&sh, &seg, 1, 502, 601);
    n = devcache_index_find(&sh, 1, found);
    for (at = 0, used = 0; at < n; at++) {
        used |= found[at].entry.variant_hash == 1;
    }
    ok(n == 64 && !used, "nor does one stay for ever for what it was once");
}

static void test_sizes(void)
{
    devcache_geometry_t g;
    apr_uint64_t n;

    is_int(sizeof(devcache_entry_t), 56, "an entry has 56 bytes");
    for (n = 100000; n <= 100000000; n *= 10) {
        devcache_shared_plan(&g, (apr_uint64_t)1 << 30, 16 * MB, n);
        ok(devcache_shared_size(&g) - DEVCACHE_SPEC_TEXT - DEVCACHE_BAN_TEXT -
                   17 * 64 * sizeof(devcache_slot_t) <
               n * 64,
           "an index for %llu objects takes %.1f bytes for each", (unsigned long long)n,
           (double)devcache_shared_size(&g) / (double)n);
    }
}

static void test_entries(void)
{
    devcache_shared_t sh = new_shared(16 * MB, MB, 4096);
    devcache_file_t seg = new_segment(&sh), other = new_segment(&sh);
    devcache_match_t m;
    devcache_put_t put, old;
    devcache_drops_t drops;
    int i;

    is_int(put_one(&sh, &seg, 1, 1, 10), APR_SUCCESS, "put");
    is_int(find_one(&sh, 1, &m), 1, "found");
    is_int(m.entry.stored_at, 10, "as it was put");
    put_one(&sh, &seg, 1, 1, 20);
    is_int(find_one(&sh, 1, &m), 1, "another one of the variant replaces it");
    is_int(m.entry.stored_at, 20, "and is the one found");
    for (i = 0; i < 5; i++) {
        devcache_index_note_use(&m);
    }
    find_one(&sh, 1, &m);
    is_int(m.entry.use, 3, "use is counted to three");
    put = new_put(&sh, &other, 1, 1, 20);
    put.entry.use = 1;
    is_int(devcache_index_move(&sh, &m.entry, &put.entry), APR_SUCCESS, "moves");
    find_one(&sh, 1, &m);
    ok(m.entry.slot == other.slot && m.entry.use == 1, "to the new place");
    old = new_put(&sh, &seg, 1, 1, 20);
    is_int(devcache_index_move(&sh, &old.entry, &put.entry), APR_NOTFOUND,
           "not from where it is not");
    put.entry.fresh_until = m.entry.fresh_until = 1000;
    devcache_index_expire(&sh, &m.entry, apr_time_from_sec(0));
    is_int(devcache_index_move(&sh, &m.entry, &put.entry), APR_SUCCESS,
           "moves, purged softly since it was found");
    find_one(&sh, 1, &m);
    is_int(m.entry.fresh_until, 0, "and stays so");
    is_int(devcache_index_forget(&sh, &m.entry, &drops), APR_SUCCESS, "is forgotten");
    is_int(find_one(&sh, 1, NULL), 0, "and not found");
    is_int((long long)devcache_index_objects(&sh), 0, "nothing left");
    devcache_shared_unmap(&sh);
}

/* All keys below go to stripe 0, bucket 0. */
static void test_full_stripe(void)
{
    devcache_shared_t sh = new_shared(16 * MB, MB, 4096);
    devcache_file_t seg = new_segment(&sh), doomed = new_segment(&sh);
    apr_uint64_t step = sh.g.buckets;
    apr_uint32_t i, n = sh.g.entries;
    int there = 0, doomed_there = 0;

    for (i = 0; i < n; i++) {
        put_one(&sh, i % 2 ? &seg : &doomed, (i + 1) * step, 1, 1000 + i);
    }
    is_int((long long)devcache_index_objects(&sh), n, "a stripe is full");
    devcache_slot_free(&sh, &doomed);
    put_one(&sh, &seg, (n + 1) * step, 1, 5000);
    for (i = 1; i < n; i += 2) {
        there += find_one(&sh, (i + 1) * step, NULL) == 1;
    }
    is_int(there, n / 2, "the dead give way before the living");
    is_int(find_one(&sh, (n + 1) * step, NULL), 1, "the new one is there");
    for (i = 0; i < n; i++) {
        put_one(&sh, &seg, (n + 2 + i) * step, 1, 6000 + i);
    }
    for (i = 0; i < n; i++) {
        doomed_there += find_one(&sh, (i + 1) * step, NULL) == 1 &&
                        find_one(&sh, (2 * n + 1 - i) * step, NULL) == 0;
    }
    is_int(doomed_there, 0, "the old give way before the new");
    ok(devcache_index_objects(&sh) <= n, "never more than there is room for");
    devcache_shared_unmap(&sh);
}

static apr_time_t set_back; /* by how much the clock is about to be, microseconds */

int clock_gettime(clockid_t clock, struct timespec *t)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, t);

    if (clock == CLOCK_REALTIME) {
        t->tv_sec += (time_t)apr_time_sec(set_back);
    }
    return rc;
}

/* Whoever waits for a lock that a stopped process has asks for the time, and then the
 * clock is set back by an hour. */
static void test_clock_set_back(void)
{
    devcache_shared_t sh = new_shared(16 * MB, MB, 4096);
    devcache_file_t seg = new_segment(&sh);
    int status;
    pid_t pid;

    if ((pid = fork()) == 0) {
        pthread_mutex_lock(&sh.stripes[0].lock);
        raise(SIGSTOP);
        _exit(0);
    }
    waitpid(pid, &status, WUNTRACED);
    set_back = apr_time_from_sec(3600);
    alarm(30);
    is_int(put_one(&sh, &seg, 0, 1, 10), APR_TIMEUP, "waits no longer than it should");
    alarm(0);
    set_back = 0;
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    put_one(&sh, &seg, 0, 1, 10); /* repairs */
    is_int(put_one(&sh, &seg, 0, 1, 10), APR_SUCCESS, "and not for the dead");
    devcache_shared_unmap(&sh);
}

/* A chain that memory's damage has made a ring of is nobody's prison. */
static void test_ring(void)
{
    devcache_shared_t sh = new_shared(16 * MB, MB, 4096);
    devcache_file_t seg = new_segment(&sh);
    devcache_match_t m;
    devcache_drops_t drops;
    unsigned count;
    int i;

    for (i = 0; i < 4; i++) {
        put_one(&sh, &seg, 1, 1, 10);
        put_one(&sh, &seg, 1, 2, 20);
        ok(find_one(&sh, 1, &m) == 2, "two variants");
        m.at->next = (apr_uint32_t)(m.at - sh.entries) % sh.g.entries; /* itself */
        if (i == 0) {
            put_one(&sh, &seg, 1, 3, 30);
        } else if (i == 1) {
            devcache_index_forget(&sh, &m.entry, &drops);
        } else if (i == 2) {
            devcache_index_expire(&sh, &m.entry, 0);
        }
        devcache_index_remove(&sh, 1, NULL, &drops, &count);
        is_int(find_one(&sh, 1, NULL), 0, "a chain that leads to itself: all go");
        is_int((long long)devcache_index_objects(&sh), 0, "nothing left");
    }
    devcache_shared_unmap(&sh);
}

static void test_removals(void)
{
    devcache_shared_t sh = new_shared(16 * MB, MB, 4096);
    devcache_file_t seg = new_segment(&sh);
    apr_uint64_t step = sh.g.buckets;
    devcache_put_t before = new_put(&sh, &seg, step, 1, 10);
    devcache_put_t innocent = new_put(&sh, &seg, 2 * step, 1, 10);
    devcache_drops_t drops;
    unsigned count;
    int i;

    put_one(&sh, &seg, step, 1, 5);
    put_one(&sh, &seg, step, 2, 7);
    devcache_index_remove(&sh, step, NULL, &drops, &count);
    is_int((long long)count, 2, "all variants go");
    is_int(devcache_index_put(&sh, &before, &drops), APR_EGENERAL,
           "an older fill is refused");
    is_int(devcache_index_put(&sh, &innocent, &drops), APR_SUCCESS,
           "another key's is not");
    for (i = 0; i < 30; i++) {
        devcache_index_remove(&sh, (100 + (apr_uint64_t)i) * step, NULL, &drops, &count);
    }
    is_int(devcache_index_put(&sh, &innocent, &drops), APR_SUCCESS,
           "nor after thirty of others");
    for (i = 0; i < DEVCACHE_RING + 1; i++) {
        devcache_index_remove(&sh, (3 + (apr_uint64_t)i) * step, NULL, &drops, &count);
    }
    is_int(devcache_index_put(&sh, &innocent, &drops), APR_EGENERAL,
           "but it is when the ring has forgotten");
    innocent.ticket = devcache_index_ticket(&sh, 2 * step);
    is_int(devcache_index_put(&sh, &innocent, &drops), APR_SUCCESS, "not if begun since");
    devcache_shared_unmap(&sh);
}

static void test_bodies(void)
{
    devcache_shared_t sh = new_shared(16 * MB, MB, 4096);
    devcache_file_t seg = new_segment(&sh);
    devcache_file_t body = {0, DEVCACHE_FILE_BODY, 0};
    devcache_put_t put = new_put(&sh, &seg, 1, 1, 10);
    devcache_drops_t drops;

    devcache_slot_take(&sh, 4096, devcache_process_self(), &body);
    devcache_slot_seal(&sh, &body, DEVCACHE_PROBATION);
    put.entry.body_slot = body.slot;
    put.entry.body_serial = (apr_uint32_t)body.serial;
    devcache_index_put(&sh, &put, &drops);
    is_int(drops.n, 0, "a large one");
    put.needs_body = 1;
    put.entry.stored_at = 20;
    put.entry.variant_hash = 2;
    is_int(devcache_index_put(&sh, &put, &drops), APR_SUCCESS, "its body is handed on");
    is_int(drops.n, 0, "not dropped");
    is_int(find_one(&sh, 1, NULL), 2, "both have it");
    put.entry.stored_at = 21;
    devcache_index_put(&sh, &put, &drops);
    is_int(drops.n, 0, "one that comes again hands it on");
    is_int(find_one(&sh, 1, NULL), 2, "in its own place");
    put_one(&sh, &seg, 1, 2, 30);
    put_one(&sh, &seg, 1, 1, 30);
    put.needs_body = 1;
    is_int(devcache_index_put(&sh, &put, &drops), APR_NOTFOUND,
           "once replaced it is gone");
    put.needs_body = 0;
    devcache_index_put(&sh, &put, &drops);
    put.entry.body_slot = DEVCACHE_NO_SLOT;
    devcache_index_put(&sh, &put, &drops);
    ok(drops.n == 1 && drops.body[0].slot == body.slot, "a replaced body is handed out");
    devcache_shared_unmap(&sh);
}

static void test_repair(void)
{
    devcache_shared_t sh = new_shared(16 * MB, MB, 4096);
    devcache_file_t seg = new_segment(&sh);
    apr_uint64_t step = sh.g.buckets;
    devcache_put_t old = new_put(&sh, &seg, step, 1, 1);
    devcache_drops_t drops;
    devcache_file_t file = {0, DEVCACHE_FILE_BODY, 0};
    apr_uint64_t used = sh.head->used;
    int status, i, there = 0;
    pid_t pid;

    for (i = 0; i < 10; i++) {
        put_one(&sh, &seg, (apr_uint64_t)i * step, 1, 10);
    }
    pid = fork();
    if (pid == 0) {
        setenv("DEVCACHE_FAULT", "kill-in-stripe:1", 1);
        put_one(&sh, &seg, 10 * step, 1, 10);
        _exit(0);
    }
    ok(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status), "a writer is killed");
    ok(sh.stripes[0].generation & 1, "in the middle of a change");
    for (i = 0; i < 11; i++) {
        there += find_one(&sh, (apr_uint64_t)i * step, NULL) == 1;
    }
    is_int(there, 10, "a reader repairs and finds all but the half-written one");
    ok((sh.stripes[0].generation & 1) == 0, "the stripe is settled");
    is_int(devcache_index_put(&sh, &old, &drops), APR_EGENERAL,
           "fills begun before are refused, as removals may be lost");
    is_int(put_one(&sh, &seg, 10 * step, 1, 10), APR_SUCCESS, "new ones are not");
    pid = fork();
    if (pid == 0) {
        setenv("DEVCACHE_FAULT", "kill-in-alloc:1", 1);
        devcache_slot_take(&sh, 4096, devcache_process_self(), &file);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    sh.head->used += 777;
    is_int(devcache_slot_take(&sh, 4096, devcache_process_self(), &file), APR_SUCCESS,
           "the alloc lock too");
    is_int((long long)sh.head->used, (long long)(used + 2 * 4096), "sums are recounted");
    devcache_shared_unmap(&sh);
}

/* Memory that lies in every way: calls come back and stay inside. */
static void test_nonsense(void)
{
    apr_uint64_t x = 88172645463325252ull;
    devcache_shared_t sh = new_shared(16 * MB, MB, 4096);
    devcache_file_t seg = new_segment(&sh), file;
    devcache_drops_t drops;
    devcache_slot_t copy;
    devcache_range_t range;
    apr_size_t i, words = sh.g.entries * sizeof(devcache_entry_t) / 8;
    unsigned count;
    apr_uint64_t *entries = sh.entries[0].words;

    for (i = 0; i < 100; i++) {
        put_one(&sh, &seg, i * sh.g.buckets, 1, (apr_time_t)i);
    }
    for (i = 0; i < words; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        entries[i] = x % 3 ? x : x % 64;
    }
    sh.entries[5].next = 5; /* a loop */
    sh.buckets[0] = 5;
    sh.entries[5].key_hash = 77;
    for (i = 0; i < 200; i++) {
        find_one(&sh, i * sh.g.buckets, NULL);
        put_one(&sh, &seg, i * sh.g.buckets, 1, (apr_time_t)i);
        devcache_index_remove(&sh, i * sh.g.buckets, NULL, &drops, &count);
    }
    ok(1, "garbled entries: every call comes back");
    memset(sh.slots, 0x5a, sh.g.slots * sizeof(*sh.slots));
    memset(sh.specs, 0x5a, DEVCACHE_SPECS * sizeof(*sh.specs));
    memset(sh.head->heads, 0x5a, sizeof(sh.head->heads));
    sh.head->heads[0][0].next = ~(apr_uint64_t)0;
    sh.head->heads[1][0].next = (apr_uint64_t)3 << 48 | 1;
    devcache_slot_repair(&sh);
    ok(devcache_slot_victim(&sh, &file, &copy) == APR_NOTFOUND &&
           devcache_slot_reserve(&sh, DEVCACHE_MAIN, 100, 0, &range) == APR_EAGAIN,
       "garbled slots are freed");
    for (i = 0, count = 0; i < DEVCACHE_SPECS + 5; i++) {
        count += devcache_spec_text(&sh, (unsigned)i) != NULL;
    }
    is_int(count, 0, "garbled specs are none");
    devcache_shared_unmap(&sh);
}

static int reserve(devcache_shared_t *sh, apr_uint64_t len, devcache_range_t *range)
{
    return devcache_slot_reserve(sh, DEVCACHE_PROBATION, len, 1, range) == APR_SUCCESS;
}

/* Fill the segment that the next writer is given. @return its serial */
static apr_uint64_t fill_one(devcache_shared_t *sh)
{
    devcache_range_t at;

    reserve(sh, MB - 64, &at);
    devcache_head_wrote(&at);
    return at.file.serial;
}

/* 64 segments: two heads for each queue. */
static void test_heads(void)
{
    devcache_shared_t sh = new_shared(64 * MB, MB, 4096);
    devcache_file_t out;
    devcache_slot_t copy;
    devcache_range_t a, b, c, d;
    apr_uint64_t serial, old;
    int i;

    is_int(sh.g.heads, 2, "a large cache has several heads");
    for (i = 0; i < 3; i++) {
        new_segment(&sh);
    }
    ok(reserve(&sh, 1000, &a) && reserve(&sh, 1000, &b) && a.rolled && b.rolled &&
           a.file.serial != b.file.serial,
       "who finds somebody writing is given another segment");
    ok(reserve(&sh, 1000, &c) && !c.rolled && c.file.serial == a.file.serial &&
           c.offset == a.offset + 1024,
       "all are written to: the first one, behind the other");
    devcache_head_wrote(&a);
    devcache_head_wrote(&b);
    ok(reserve(&sh, 1000, &d) && d.file.serial == b.file.serial,
       "as long as one of two is at it, the other segment is taken");
    devcache_head_wrote(&d);
    devcache_head_wrote(&c);
    ok(reserve(&sh, 1000, &d) && d.file.serial == a.file.serial, "then the first again");
    devcache_head_wrote(&d);

    old = a.file.serial;
    reserve(&sh, 1000, &a); /* and is killed */
    serial = fill_one(&sh);
    ok(serial != old && serial != b.file.serial,
       "a segment in place of the full idle one");
    for (i = 0; i < 4; i++) {
        new_segment(&sh);
    }
    reserve(&sh, MB - 64, &c);
    ok(c.file.serial != old, "where somebody was killed comes last");
    reserve(&sh, 1000, &d);
    is_int(d.file.serial, old, "but is no worse than another that is written to");
    devcache_head_wrote(&d);
    while (reserve(&sh, 60000, &d) && d.file.serial == old) {
        devcache_head_wrote(&d);
    }
    devcache_head_wrote(&c);
    devcache_head_wrote(&a); /* not killed after all, only slow */
    reserve(&sh, 1000, &c);
    ok(d.file.serial != old && c.file.serial != d.file.serial,
       "who comes late is not taken for somebody who writes to the next segment");
    devcache_head_wrote(&d);
    ok(reserve(&sh, 1000, &b) && b.file.serial == d.file.serial && !b.rolled,
       "to which nobody writes then");
    devcache_head_wrote(&c);
    devcache_head_wrote(&b);

    old = b.file.serial; /* from now on nobody meets, but this one is half full */
    reserve(&sh, MB / 2, &b);
    for (i = 0; i < 4; i++) {
        new_segment(&sh);
        fill_one(&sh);
    }
    devcache_head_wrote(&b);
    for (i = 0; i < 20 && devcache_slot_victim(&sh, &out, &copy) == APR_SUCCESS &&
                out.serial != old;
         i++) {
        devcache_slot_free(&sh, &out);
    }
    is_int(out.serial, old, "a head that is left alone is evicted when it is the oldest");
    ok(!devcache_head_at(&sh, out.slot) && copy.state == DEVCACHE_SLOT_SEALED,
       "and leads nowhere then");
    devcache_slot_repair(&sh);
    ok(reserve(&sh, 1000, &a) && a.file.serial != old, "nobody is sent there");
    sh.head->heads[DEVCACHE_MAIN][1].next = devcache_head_at(&sh, a.file.slot)->next;
    devcache_slot_repair(&sh);
    ok(devcache_head_at(&sh, a.file.slot) &&
           !devcache_head_leads(&sh, sh.head->heads[DEVCACHE_MAIN][1].next),
       "two heads of one segment: one is closed");
    devcache_shared_unmap(&sh);
}

/* 64 segments: the first two chunks of one. */
static void test_chunks(void)
{
    devcache_shared_t sh = new_shared(64 * MB, MB, 4096);
    const apr_uint64_t chunk = DEVCACHE_HEAD_CHUNK;
    devcache_range_t a, b, c, late;
    apr_uint64_t slot;
    int i;

    for (i = 0; i < 3; i++) {
        new_segment(&sh);
    }
    ok(reserve(&sh, 30000, &a) && a.offset == 64 && a.zeros == 0,
       "within a chunk no zeros are written");
    devcache_head_wrote(&a);
    ok(reserve(&sh, 10000, &a) && a.offset == 64 + 30016 &&
           a.offset + 10048 + a.zeros == 2 * chunk,
       "who begins one fills it");
    devcache_head_wrote(&a);
    ok(reserve(&sh, 1000, &b) && b.offset == a.offset + 10048 && b.zeros == 0,
       "the next one gets the zeros");
    devcache_head_wrote(&b);
    ok(reserve(&sh, chunk + 1, &b) && b.zeros == 0, "a long record needs none");
    devcache_head_wrote(&b);

    while (reserve(&sh, 30000, &a) && a.zeros == 0) {
        devcache_head_wrote(&a);
    }
    slot = a.file.slot;
    reserve(&sh, 1000, &b); /* another head */
    ok(reserve(&sh, 1000, &c) && c.file.slot == slot &&
           c.offset == a.offset + 30016 + a.zeros && c.offset % chunk == 0,
       "nobody else writes where they are being written");
    devcache_head_wrote(&a);
    devcache_head_wrote(&c);
    devcache_head_wrote(&b);
    ok(reserve(&sh, 1000, &a) && a.offset == c.offset + 1024,
       "nor does what was passed over come back");
    devcache_head_wrote(&a);

    while (reserve(&sh, 30000, &late) && late.zeros == 0) {
        devcache_head_wrote(&late);
    }
    devcache_head_open(late.head, late.file.slot, late.file.serial + 1000);
    late.head->next = late.taken;
    devcache_head_wrote(&late);
    is_int((long long)late.head->next, (long long)late.taken,
           "who comes late gives nothing back into another segment at the same place");
    devcache_shared_unmap(&sh);
}

static void test_slots(void)
{
    devcache_shared_t sh = new_shared(8 * MB, MB, 4096);
    devcache_file_t file[9], out;
    devcache_slot_t copy;
    devcache_range_t a, b;
    int i, n = 0;

    for (i = 0; i < 9; i++) {
        file[i].kind = DEVCACHE_FILE_SEGMENT;
        n += devcache_slot_take(&sh, MB, devcache_process_self(), &file[i]) ==
             APR_SUCCESS;
    }
    is_int(n, 8, "no more segments than the bound");
    is_int(devcache_slot_resize(&sh, &file[0], MB + 1), APR_ENOSPC, "nor any byte more");
    for (i = 0; i < 4; i++) {
        devcache_slot_spare(&sh, &file[i]);
    }
    is_int(devcache_slot_reserve(&sh, DEVCACHE_MAIN, 1000, 4, &a), APR_EAGAIN,
           "spares are kept for others");
    devcache_slot_reserve(&sh, DEVCACHE_MAIN, 1000, 1, &a);
    devcache_head_wrote(&a);
    devcache_slot_reserve(&sh, DEVCACHE_MAIN, 1000, 1, &b);
    ok(a.rolled && !b.rolled && a.offset == 64 && b.offset == 64 + 1024 &&
           a.file.serial == b.file.serial,
       "ranges follow each other");
    is_int(devcache_slot_victim(&sh, &out, &copy), APR_NOTFOUND, "a head is no victim");
    while (b.file.serial == a.file.serial) {
        devcache_slot_reserve(&sh, DEVCACHE_MAIN, 60000, 1, &b);
    }
    ok(b.rolled && b.offset == 64, "a full head is replaced");
    ok(devcache_slot_victim(&sh, &out, &copy) == APR_SUCCESS &&
           out.serial == a.file.serial,
       "and is then the victim");
    devcache_slot_free(&sh, &out);
    ok(!devcache_shared_alive(&sh, out.slot, (apr_uint32_t)out.serial),
       "freed, it is dead");
    is_int(devcache_slot_free(&sh, &out), APR_NOTFOUND, "and cannot be freed twice");
    out.kind = DEVCACHE_FILE_BODY;
    devcache_slot_take(&sh, 4096, devcache_process_self(), &out);
    devcache_slot_seal(&sh, &out, DEVCACHE_PROBATION);
    ok(devcache_slot_victim(&sh, &file[8], &copy) == APR_SUCCESS &&
           file[8].serial == out.serial,
       "probation's only file goes when main has none");
    devcache_shared_unmap(&sh);
}

static void test_ghosts(void)
{
    devcache_shared_t sh = new_shared(16 * MB, MB, 4096);

    devcache_ghost_add(&sh, 5, 6);
    is_int(devcache_ghost_take(&sh, 5, 7), 0, "another variant is no ghost");
    is_int(devcache_ghost_take(&sh, 5, 6), 1, "this one is");
    is_int(devcache_ghost_take(&sh, 5, 6), 0, "once");
    devcache_shared_unmap(&sh);
}

static void test_specs(void)
{
    devcache_shared_t sh = new_shared(16 * MB, MB, 4096);
    char text[4001];
    apr_uint16_t a, b;
    int n = 0;

    devcache_spec_intern(&sh, devcache_slice_str(""), &a);
    is_str(devcache_spec_text(&sh, a), "", "the empty spec");
    devcache_spec_intern(&sh, devcache_slice_str("ua"), &a);
    devcache_spec_intern(&sh, devcache_slice_str("ua"), &b);
    ok(a == b, "a text has one number");
    is_str(devcache_spec_text(&sh, a), "ua", "by which it is found");
    memset(text, 'x', sizeof(text));
    text[4000] = '\0';
    do {
        snprintf(text, 16, "%d", n);
        text[strlen(text)] = 'x';
    } while (devcache_spec_intern(&sh, devcache_slice_str(text), &b) == APR_SUCCESS &&
             n++ < 2000);
    ok(n > 60 && n < 66, "texts are bounded: %d of 4000 bytes", n);
    devcache_shared_unmap(&sh);
}

int main(void)
{
    apr_initialize();
    ok(devcache_process_self()->start != 0, "this process is known");
    test_sizes();
    test_made_up_variants();
    test_entries();
    test_full_stripe();
    test_clock_set_back();
    test_ring();
    test_removals();
    test_bodies();
    test_repair();
    test_nonsense();
    test_slots();
    test_heads();
    test_chunks();
    test_ghosts();
    test_specs();
    return done_testing();
}
