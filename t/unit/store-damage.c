/* SPDX-License-Identifier: Apache-2.0 */
/* The store over what it finds on disk: warm starts, lost indexes, damage, traps. */
#include <sys/wait.h>
#include "store/ghost.h"
#include "store/inspect.h"
#include "store_fixture.h"

#define SIZE (8 * MB)
#define SEGMENT (256 * KB)
#define OBJECTS 200

static void test_warm_start(void)
{
    fixture_t f, peer;

    fixture_new_root();
    f = fixture_open(SIZE, SEGMENT, 0);
    fixture_put_many(&f, OBJECTS);
    peer = fixture_open(SIZE, SEGMENT, 0);
    is_int(peer.rv, APR_SUCCESS, "a second server attaches");
    is_int(fixture_count(&peer, OBJECTS), OBJECTS, "and finds everything");
    fixture_put_simple(&peer, "from-peer", 5, 100, SEC(1));
    is_int(fixture_get(&f, "from-peer", NULL), 5, "both see what either stores");
    fixture_close(&peer);
    peer = fixture_open(SIZE * 2, SEGMENT, 0);
    ok(peer.rv != APR_SUCCESS && strstr(peer.error, fixture_root),
       "one with other sizes is refused");
    fixture_close(&peer);
    fixture_close(&f);
    f = fixture_open(SIZE, SEGMENT, 0);
    is_int(f.rv, APR_SUCCESS, "reopens");
    is_int(fixture_count(&f, OBJECTS), OBJECTS, "everything is found at once");
    fixture_close(&f);
}

static void garble_index(void)
{
    char path[300];
    int fd, i;

    snprintf(path, sizeof(path), "%s/index", fixture_root);
    fd = open(path, O_RDWR);
    for (i = 0; i < 4096; i++) {
        (void)!pwrite(fd, "\xa5", 1, i * 7);
    }
    close(fd);
}

static void delete_index(void)
{
    fixture_each_file(fixture_unlink, (void *)(apr_uintptr_t) "index");
}

static void garble_head(void)
{
    char path[300];
    int fd;

    snprintf(path, sizeof(path), "%s/index", fixture_root);
    fd = open(path, O_RDWR);
    (void)!pwrite(fd, "\xa5", 1, 8); /* the version */
    close(fd);
}

static void cut_index(void)
{
    char path[300];

    snprintf(path, sizeof(path), "%s/index", fixture_root);
    (void)!truncate(path, 4096);
}

/* Without its index a cache is cold: said once, nothing of it left, and it works. */
static void test_lost_index(void (*lose)(void), const char *how)
{
    fixture_t f;

    fixture_new_root();
    f = fixture_open(SIZE, SEGMENT, 0);
    fixture_put_many(&f, OBJECTS);
    fixture_close(&f);
    lose();
    fixture_logged[11] = 0;
    f = fixture_open(SIZE, SEGMENT, 0);
    is_int(f.rv, APR_SUCCESS, how);
    is_int((long long)fixture_stats(&f).objects, 0, "nothing is stored");
    is_int(fixture_usage().bodies, 0, "old bodies are gone");
    ok(fixture_usage().segments <= 3, "and old segments");
    is_int(fixture_logged[11], 1, "the log says so");
    is_int(fixture_count(&f, OBJECTS), 0, "nothing is found");
    fixture_put_many(&f, OBJECTS);
    is_int(fixture_count(&f, OBJECTS), OBJECTS, "it fills again");
    fixture_close(&f);
    f = fixture_open(SIZE, SEGMENT, 0);
    is_int(fixture_count(&f, OBJECTS), OBJECTS, "and is warm after the next start");
    is_int(fixture_logged[11], 1, "of which nothing is said");
    fixture_close(&f);
}

/* Objects of half the old bound that is changed: what fits is there, with its own bytes,
 * and what was removed is not. */
static void test_resized(apr_uint64_t size, apr_uint64_t segment, apr_uint64_t objects,
                         int least, const char *how)
{
    fixture_put_t variant = {"v", "device", "pc", 77, 300, SEC(1000)};
    fixture_t f;
    int found;

    fixture_new_root();
    f = fixture_open(SIZE, SEGMENT, 4096);
    fixture_put_many(&f, OBJECTS);
    fixture_put(&f, &variant);
    devcache_store_remove(f.s, devcache_slice_str("d3"), NULL);
    devcache_store_remove(f.s, devcache_slice_str("d40"), NULL); /* with a large body */
    fixture_close(&f);
    fixture_logged[10] = fixture_logged[11] = 0;
    f = fixture_open(size, segment, objects);
    is_int(f.rv, APR_SUCCESS, how);
    is_int(fixture_logged[10], 1, "the log says that it was carried over");
    is_int(fixture_logged[11], 0, "not that anything was lost");
    found = fixture_count(&f, OBJECTS);
    ok(found >= least && found <= OBJECTS - 2, "%d of %d are found, with their own bytes",
       found, OBJECTS);
    is_int(fixture_get(&f, "d3", NULL), FIXTURE_MISS, "not what was removed");
    is_int(fixture_get(&f, "d40", NULL), FIXTURE_MISS, "large or small");
    if (least == OBJECTS - 2) {
        is_int(fixture_get(&f, "v", "pc"), 77, "variants as well");
        is_int(fixture_usage().bodies, OBJECTS / 20 - 1, "each body has its record");
    }
    ok(fixture_usage().bytes <= size, "within the bound");
    fixture_put_many(&f, OBJECTS);
    found = fixture_count(&f, OBJECTS);
    ok(found >= least, "it works: %d", found);
    fixture_close(&f);
    f = fixture_open(size, segment, objects);
    is_int(fixture_count(&f, OBJECTS), found, "warm after the next start");
    is_int(fixture_logged[10], 1, "of which nothing is said");
    fixture_close(&f);
}

/* Back and forth, again and again, with something new in between. */
static void test_resized_often(void)
{
    int i, wrong = 0, found;
    fixture_t f;

    fixture_new_root();
    for (i = 0; i < 12; i++) {
        f = fixture_open((4 + (apr_uint64_t)(i % 3)) * MB, SEGMENT << i % 2, 0);
        found = fixture_count(&f, OBJECTS);
        wrong += f.rv != APR_SUCCESS || found < (i ? OBJECTS : 0);
        fixture_put_many(&f, OBJECTS);
        fixture_close(&f);
    }
    is_int(wrong, 0, "nothing that fits is lost by many changes");
}

/* Killed while it carries over: the old index is there as it was. */
static void test_resize_killed(void)
{
    int status;
    fixture_t f;
    pid_t pid;

    fixture_new_root();
    f = fixture_open(SIZE, SEGMENT, 0);
    fixture_put_many(&f, OBJECTS);
    fixture_close(&f);
    if ((pid = fork()) == 0) {
        setenv("DEVCACHE_FAULT", "kill-in-carry:1", 1);
        f = fixture_open(SIZE * 2, SEGMENT, 0);
        _exit(0);
    }
    ok(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status),
       "dies while it carries over");
    f = fixture_open(SIZE * 2, SEGMENT, 0);
    is_int(fixture_count(&f, OBJECTS), OBJECTS, "the next one finds everything");
    fixture_close(&f);
}

/* Lengths that would overflow when a header is added to them. */
static void test_lengths(void)
{
    static const apr_uint64_t lengths[] = {~(apr_uint64_t)0, ~(apr_uint64_t)63,
                                           (apr_uint64_t)1 << 63, 1000};
    unsigned i;

    for (i = 0; i < 4; i++) {
        devcache_file_header_t header = {DEVCACHE_FILE_BODY, 1, 2, lengths[i]}, read;
        unsigned char bytes[DEVCACHE_RECORD_FIXED];
        devcache_record_t rec = {{NULL, 0}};

        devcache_record_file_encode(bytes, &header);
        is_int(devcache_record_file_decode(bytes, &read), i == 3, "a file's length");
        rec.ref_serial = 1;
        rec.body_len = lengths[i];
        devcache_record_measure(&rec);
        devcache_record_encode(bytes, &rec, 5, 64);
        is_int(devcache_record_peek(bytes, 5, &rec), i == 3, "a body's length");
    }
}

/* ---- damage --------------------------------------------------------------- */

typedef struct segment_bytes_t {
    char name[32];
    unsigned char *bytes;
    apr_size_t len;
} segment_bytes_t;

static void largest(int dir, const char *name, void *baton)
{
    segment_bytes_t *b = baton;
    struct stat st;
    int fd;

    if (strncmp(name, "seg-", 4) != 0 || fstatat(dir, name, &st, 0) != 0 ||
        (apr_size_t)st.st_size <= b->len) {
        return;
    }
    snprintf(b->name, sizeof(b->name), "%s", name);
    free(b->bytes);
    b->len = (apr_size_t)st.st_size;
    b->bytes = malloc(b->len);
    fd = openat(dir, name, O_RDONLY);
    if (read(fd, b->bytes, b->len) != st.st_size) {
        b->len = 0;
    }
    close(fd);
}

static void read_file(segment_bytes_t *b, const char *name)
{
    char path[300];
    struct stat st;
    int fd;

    snprintf(path, sizeof(path), "%s/%s", fixture_root, name);
    fd = open(path, O_RDONLY);
    fstat(fd, &st);
    snprintf(b->name, sizeof(b->name), "%s", name);
    b->len = (apr_size_t)st.st_size;
    b->bytes = malloc(b->len);
    if (read(fd, b->bytes, b->len) != st.st_size) {
        b->len = 0;
    }
    close(fd);
}

static int open_segment(const segment_bytes_t *b)
{
    char path[300];

    snprintf(path, sizeof(path), "%s/%s", fixture_root, b->name);
    return open(path, O_RDWR);
}

static void put_two(fixture_t *f)
{
    fixture_put_t put = {"one", "device", "pc", 1, 200, SEC(1)};

    fixture_put(f, &put);
    fixture_put_simple(f, "two", 2, 100, SEC(1));
}

/* Damage while the store is open: every single byte, and every length. */
static void test_damage_open(void)
{
    int wrong = 0, missed = 0, misses_other = 0;
    segment_bytes_t b = {""};
    fixture_t f;
    apr_size_t i;
    int fd;

    fixture_new_root();
    f = fixture_open(SIZE, SEGMENT, 0);
    put_two(&f);
    fixture_each_file(largest, &b);
    fd = open_segment(&b);
    for (i = DEVCACHE_FILE_HEADER; i < b.len; i++) {
        unsigned char flipped = b.bytes[i] ^ 0x10;
        long one, two;

        (void)!pwrite(fd, &flipped, 1, (off_t)i);
        one = fixture_get(&f, "one", "pc");
        two = fixture_get(&f, "two", NULL);
        wrong += (one != 1 && one != FIXTURE_MISS) || (two != 2 && two != FIXTURE_MISS);
        missed += one == FIXTURE_MISS || two == FIXTURE_MISS;
        misses_other += one == FIXTURE_MISS && two == FIXTURE_MISS;
        (void)!pwrite(fd, &b.bytes[i], 1, (off_t)i);
        if (one == FIXTURE_MISS || two == FIXTURE_MISS) {
            put_two(&f);
            free(b.bytes);
            memset(&b, 0, sizeof(b));
            fixture_each_file(largest, &b);
            if (b.len > 200 * KB) {
                break;
            }
        }
    }
    is_int(wrong, 0, "no flipped byte yields wrong bytes");
    ok(missed > 300, "they are misses: %d", missed);
    is_int(misses_other, 0, "of the damaged object only");
    is_int((long long)fixture_stats(&f).damaged, missed, "each is counted as damage");
    close(fd);
    free(b.bytes);
    fixture_close(&f);
}

/* Damage while it was closed: every single byte, and every length. */
static void test_damage_closed(int cut)
{
    segment_bytes_t b = {""}, index = {""};
    int wrong = 0, whole = 0, lost = 0;
    fixture_t f;
    apr_size_t i;

    fixture_new_root();
    f = fixture_open(4 * MB, SEGMENT, 64);
    put_two(&f);
    fixture_close(&f);
    fixture_each_file(largest, &b);
    read_file(&index, "index");
    for (i = 0; i < b.len; i++) {
        unsigned char flipped = b.bytes[i] ^ 0x41;
        long one, two;
        int fd = open_segment(&index);

        (void)!pwrite(fd, index.bytes, index.len, 0);
        close(fd);

        fd = open_segment(&b);
        if (fd < 0) { /* deleted as no segment of ours: put it back */
            char path[300];

            snprintf(path, sizeof(path), "%s/%s", fixture_root, b.name);
            fd = open(path, O_RDWR | O_CREAT, 0600);
        }
        (void)!pwrite(fd, b.bytes, b.len, 0);
        if (cut) {
            (void)!ftruncate(fd, (off_t)i);
        } else {
            (void)!pwrite(fd, &flipped, 1, (off_t)i);
        }
        close(fd);
        f = fixture_open(4 * MB, SEGMENT, 64);
        if (f.rv != APR_SUCCESS) {
            ok(0, "byte %d: the store opens: %d %s", (int)i, (int)f.rv,
               f.error ? f.error : "");
        }
        one = fixture_get(&f, "one", "pc");
        two = fixture_get(&f, "two", NULL);
        if (!cut && one != 1 && two != 2 && i >= DEVCACHE_FILE_HEADER) {
            ok(0, "byte %d: a flip costs one record", (int)i);
        }
        wrong += (one != 1 && one != FIXTURE_MISS) || (two != 2 && two != FIXTURE_MISS);
        whole += one == 1 && two == 2;
        lost += one != 1 && two != 2;
        fixture_close(&f);
    }
    is_int(wrong, 0, cut ? "no length yields wrong bytes" : "no flip yields wrong bytes");
    if (cut) {
        is_int(whole, 0, "what is cut off is lost");
    } else {
        is_int(lost, DEVCACHE_FILE_HEADER, "only in the header a flip costs it all");
    }
    free(b.bytes);
    free(index.bytes);
}

/* Shared memory that survived wrong: nothing of it may crash or make a wrong hit. */
static void test_garbled_anywhere(void)
{
    apr_uint64_t x = 88172645463325252ull;
    int round, wrong = 0, works = 0;
    fixture_t f;

    fixture_new_root();
    f = fixture_open(SIZE, SEGMENT, 4096);
    fixture_put_many(&f, OBJECTS);
    for (round = 0; round < 60; round++) {
        apr_uint64_t *words = (apr_uint64_t *)f.s->root->sh.head;
        apr_size_t n = f.s->root->sh.len / 8;
        int i;

        for (i = 0; i < 2000; i++) { /* densely at the head, sparsely in the entries */
            apr_size_t most = i % 4 == 0 ? 600 : i % 4 == 1 ? 20000 : n;

            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            words[16 + (x >> 8) % (most - 16)] = x % 5 ? x : (x >> 40) % 70;
        }
        pthread_mutex_init(&f.s->root->sh.head->alloc, NULL);
        pthread_mutex_init(&f.s->root->sh.head->evict, NULL);
        fixture_close(&f);
        f = fixture_open(SIZE, SEGMENT, 4096);
        wrong += f.rv != APR_SUCCESS || fixture_count(&f, OBJECTS) < 0;
        fixture_put_simple(&f, "new", (unsigned)round, 500, SEC(round + 1));
        works += fixture_get(&f, "new", NULL) == round;
        fixture_put_many(&f, OBJECTS);
    }
    is_int(wrong, 0, "a garbled index never makes a wrong hit");
    is_int(works, 60, "and the store works on after a new start");
    fixture_close(&f);
}

static void replace_with_link(int dir, const char *name, void *baton)
{
    if (strncmp(name, baton, strlen(baton)) == 0) {
        unlinkat(dir, name, 0);
        (void)!symlinkat("/etc/hostname", dir, name);
    }
}

static void count_links(int dir, const char *name, void *baton)
{
    struct stat st;

    *(int *)baton += fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                     S_ISLNK(st.st_mode);
}

/* A whole file of ours with the highest number there can be, or nearly. */
static void test_last_serial(apr_uint64_t serial)
{
    devcache_file_header_t header = {DEVCACHE_FILE_SEGMENT, serial, 1, SEGMENT};
    unsigned char bytes[1000] = {0};
    char path[300];
    fixture_t f;
    int fd, i;

    fixture_new_root();
    snprintf(path, sizeof(path), "%s/seg-%016llx", fixture_root,
             (unsigned long long)serial);
    devcache_record_file_encode(bytes, &header);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    ok(write(fd, bytes, sizeof(bytes)) == sizeof(bytes) && close(fd) == 0,
       "a file with the number %llx", (unsigned long long)serial);
    for (i = 0; i < 3; i++) {
        f = fixture_open(SIZE, SEGMENT, 0);
        if (i != 1) {
            fixture_put_many(&f, OBJECTS);
        }
        is_int(fixture_count(&f, OBJECTS), OBJECTS, "does no harm");
        fixture_close(&f);
        if (i == 1) {
            delete_index();
        }
    }
}

static void test_traps(void)
{
    fixture_t f;
    char path[300];
    int links = 0;

    fixture_new_root();
    f = fixture_open(SIZE, SEGMENT, 0);
    fixture_put_many(&f, OBJECTS);
    fixture_each_file(replace_with_link, (void *)(apr_uintptr_t) "seg-");
    ok(fixture_count(&f, OBJECTS) >= 0,
       "links in place of segments of a running store are misses");
    fixture_close(&f);
    f = fixture_open(SIZE, SEGMENT, 0);
    is_int(f.rv, APR_SUCCESS, "and do not hinder a start");
    fixture_each_file(count_links, &links);
    is_int(links, 0, "which deletes them");
    fixture_put_many(&f, OBJECTS);
    is_int(fixture_count(&f, OBJECTS), OBJECTS, "and works");
    fixture_close(&f);
    fixture_each_file(replace_with_link, (void *)(apr_uintptr_t) "index");
    f = fixture_open(SIZE, SEGMENT, 0);
    is_int(f.rv, APR_SUCCESS, "a link in place of the index is replaced");
    fixture_close(&f);
    snprintf(path, sizeof(path), "%s/index.hard", fixture_root);
    delete_index();
    close(open(path, O_CREAT | O_WRONLY, 0600));
    {
        char index[300];

        snprintf(index, sizeof(index), "%s/index", fixture_root);
        ok(link(path, index) == 0, "a second name of another file");
    }
    f = fixture_open(SIZE, SEGMENT, 0);
    is_int(f.rv, APR_SUCCESS, "in place of the index is replaced too");
    {
        struct stat st;

        ok(stat(path, &st) == 0 && st.st_size == 0, "and that file is not touched");
    }
    fixture_close(&f);
    fixture_each_file(replace_with_link, (void *)(apr_uintptr_t) "lock");
    f = fixture_open(SIZE, SEGMENT, 0);
    ok(f.rv != APR_SUCCESS, "a link in place of the lock keeps the store away");
    fixture_close(&f);
}

static void test_no_room_for_index(void)
{
    fixture_t f;

    fixture_new_root();
    setenv("DEVCACHE_FAULT", "fallocate:1", 1);
    f = fixture_open(SIZE, SEGMENT, 0);
    unsetenv("DEVCACHE_FAULT");
    ok(f.rv == FIXTURE_AWAY && strstr(f.error, "DevCacheMaxObjects"),
       "no room for the index is said at the start");
    fixture_close(&f);
}

/* A tool that looks at a damaged index asks for no more memory than that can be about. */
static void test_inspected_counts(void)
{
    devcache_inspect_t *in = NULL;
    const char *error = NULL;
    fixture_t f;
    apr_uint32_t i;

    fixture_new_root();
    f = fixture_open(SIZE, SEGMENT, 0);
    fixture_put_many(&f, OBJECTS);
    for (i = 0; i < f.s->root->sh.g.stripes; i++) {
        f.s->root->sh.stripes[i].count = 0xffffffffu;
    }
    is_int(devcache_inspect_open(&in, fixture_root, &error, f.pool), APR_SUCCESS,
           "an index with wrong counts can be looked at");
    is_int(in ? devcache_inspect_no_index(in) != NULL : -1, 0, "and is of use");
    fixture_close(&f);
}

typedef struct dead_t {
    apr_uint64_t serial, offset;
    int found, unfinished, damaged;
    int mend_at_once; /* while the walk has the broken bytes in its memory */
} dead_t;

static void flip_head(const dead_t *dead)
{
    char name[DEVCACHE_INSPECT_NAME], path[300], byte;
    int fd;

    devcache_inspect_file_name(name, DEVCACHE_FILE_SEGMENT, dead->serial);
    snprintf(path, sizeof(path), "%s/%s", fixture_root, name);
    fd = open(path, O_RDWR);
    (void)!pread(fd, &byte, 1, (off_t)dead->offset + 30);
    byte = (char)(byte ^ 1);
    (void)!pwrite(fd, &byte, 1, (off_t)dead->offset + 30);
    close(fd);
}

static int find_dead(void *baton, const devcache_found_t *found)
{
    dead_t *dead = baton;

    if (found->what == DEVCACHE_FINDING_OBJECT && !found->live) {
        dead->serial = found->serial;
        dead->offset = found->offset;
        dead->found = 1;
    }
    return dead->found;
}

static int count_findings(void *baton, const devcache_found_t *found)
{
    dead_t *dead = baton;

    dead->unfinished += found->what == DEVCACHE_FINDING_UNFINISHED;
    dead->damaged += found->what == DEVCACHE_FINDING_DAMAGED;
    if (dead->mend_at_once) {
        dead->mend_at_once = 0;
        flip_head(dead);
    }
    return 0;
}

/* What nothing leads to in a sealed segment: being written when it was first looked at, or
 * damaged. */
static void test_inspected_twice(void)
{
    devcache_inspect_t *in = NULL;
    const char *error = NULL;
    dead_t dead = {0};
    fixture_t f;
    int i;

    fixture_new_root();
    f = fixture_open(SIZE, SEGMENT, 0);
    fixture_put_simple(&f, "first", 1, 300, SEC(1));
    fixture_put_simple(&f, "twice", 1, 300, SEC(1));
    fixture_put_simple(&f, "twice", 2, 300, SEC(2));
    fixture_put_many(&f, 4 * OBJECTS);
    devcache_inspect_open(&in, fixture_root, &error, f.pool);
    for (i = 0; i < 100 && !dead.found; i++) {
        devcache_inspect_segment(in, (apr_uint64_t)i, 0, find_dead, &dead);
    }
    is_int(dead.found, 1, "a record that has been replaced");
    flip_head(&dead);
    dead.mend_at_once = 1;
    devcache_inspect_segment(in, dead.serial, 1, count_findings, &dead);
    is_int(dead.damaged, 0, "what becomes whole is no damage");
    is_int(dead.unfinished, 1, "but a write that was under way");
    flip_head(&dead);
    devcache_inspect_segment(in, dead.serial, 1, count_findings, &dead);
    is_int(dead.damaged, 1, "what does not is");
    fixture_close(&f);
}

int main(void)
{
    apr_initialize();
    test_warm_start();
    test_lost_index(delete_index, "opens without its index");
    test_lost_index(garble_index, "opens with a garbled index");
    test_lost_index(garble_head, "opens with an index of another version");
    test_lost_index(cut_index, "opens with half an index");
    test_resized(SIZE * 2, SEGMENT, 4096, OBJECTS - 2, "opens with a larger size");
    test_resized(SIZE / 2, SEGMENT, 4096, OBJECTS - 2, "opens with a smaller size");
    test_resized(2 * MB, SEGMENT, 4096, OBJECTS / 10, "opens with far too small a size");
    test_resized(SIZE * 2, SEGMENT * 2, 4096, OBJECTS - 2, "with larger segments");
    test_resized(SIZE, SEGMENT / 4, 4096, OBJECTS - 2, "with smaller segments");
    test_resized(SIZE, SEGMENT, 8192, OBJECTS - 2, "for more objects");
    test_resized(SIZE, SEGMENT, 64, 20, "for fewer objects");
    test_resized_often();
    test_resize_killed();
    test_lengths();
    test_damage_open();
    test_damage_closed(0);
    test_damage_closed(1);
    test_garbled_anywhere();
    test_traps();
    test_last_serial(~(apr_uint64_t)0);
    test_last_serial(((apr_uint64_t)1 << 62) - 1);
    test_no_room_for_index();
    test_inspected_counts();
    test_inspected_twice();
    return done_testing();
}
