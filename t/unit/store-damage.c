/* The store over what it finds on disk: warm starts, lost indexes, damage, traps. */
#include <sys/resource.h>
#include "devcache_ghost.h"
#include "devcache_inspect.h"
#include "store_fixture.h"

#define SIZE (8 * MB)
#define SEGMENT (256 * KB)
#define OBJECTS 200

static void fill_store(fixture_t *f)
{
    char key[16];
    int i;

    for (i = 0; i < OBJECTS; i++) {
        snprintf(key, sizeof(key), "d%d", i);
        fixture_put_simple(f, key, (unsigned)i, i % 20 ? 500 : 40 * KB, SEC(i + 1));
    }
}

/* How many of them are found; counts every wrong one as a thousand too few. */
static int found_all(fixture_t *f)
{
    char key[16];
    int i, n = 0;

    for (i = 0; i < OBJECTS; i++) {
        long got;

        snprintf(key, sizeof(key), "d%d", i);
        got = fixture_get(f, key, NULL);
        n += got == i ? 1 : got == FIXTURE_MISS ? 0 : -1000;
    }
    return n;
}

static void test_warm_start(void)
{
    fixture_t f, peer;

    fixture_new_root();
    f = fixture_open(SIZE, SEGMENT, 0);
    fill_store(&f);
    peer = fixture_open(SIZE, SEGMENT, 0);
    is_int(peer.rv, APR_SUCCESS, "a second server attaches");
    is_int(found_all(&peer), OBJECTS, "and finds everything");
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
    is_int(found_all(&f), OBJECTS, "everything is found at once");
    is_int((long long)fixture_stats(&f).rebuild_total, 0, "without a rebuild");
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

static void nothing(void)
{
}

static void test_rebuild(void (*lose)(void), apr_uint64_t size, apr_uint64_t segment,
                         const char *how)
{
    fixture_put_t variant = {"v", "device", "pc", 77, 300, SEC(1)};
    fixture_put_t old = {"d7", NULL, NULL, 70, 500, SEC(1)};
    fixture_t f;
    unsigned count;

    fixture_new_root();
    f = fixture_open(SIZE, SEGMENT, 0);
    fixture_put(&f, &old);
    fill_store(&f);
    fixture_put(&f, &variant);
    devcache_store_remove(f.s, devcache_slice_str("d3"), SEC(300), &count);
    devcache_store_remove(f.s, devcache_slice_str("d40"), SEC(300), &count);
    fixture_put_simple(&f, "d40", 40, 30 * KB, SEC(400));
    fixture_close(&f);
    lose();
    f = fixture_open(size, segment, 0);
    is_int(f.rv, APR_SUCCESS, how);
    is_int((long long)fixture_stats(&f).objects, 0, "the index is new");
    ok(fixture_stats(&f).rebuild_total > 0, "a rebuild is due");
    fixture_put_simple(&f, "d5", 5, 600, SEC(500));
    is_int(fixture_get(&f, "d5", NULL), 5, "but it already works");
    count = 0;
    devcache_store_remove(f.s, devcache_slice_str("d6"), SEC(500), &count);
    fixture_rebuild(&f);
    is_int((long long)fixture_stats(&f).rebuild_done,
           (long long)fixture_stats(&f).rebuild_total, "the rebuild comes to its end");
    is_int(found_all(&f), OBJECTS - 2, "all is found again, with its own bytes");
    is_int(fixture_get(&f, "d3", NULL), FIXTURE_MISS, "except what was removed before");
    is_int(fixture_get(&f, "d6", NULL), FIXTURE_MISS, "or since");
    is_int(fixture_get(&f, "d7", NULL), 7, "of two versions the newer");
    is_int(fixture_get(&f, "d40", NULL), 40, "what was stored again after a removal");
    is_int(fixture_get(&f, "v", "pc"), 77, "and variants");
    is_int(fixture_usage().bodies, OBJECTS / 20, "no body is left without a record");
    fixture_close(&f);
}

/* As if it had been evicted from probation: it goes to the main queue. */
static void put_to_main(fixture_t *f, const char *key)
{
    devcache_shared_t *sh = &f->s->sh;
    devcache_slice_t none = devcache_slice_str("");

    devcache_ghost_add(sh, devcache_index_key_hash(sh, devcache_slice_str(key)),
                       devcache_index_variant_hash(sh, none, none));
    fixture_put_simple(f, key, 1, 2000, SEC(4));
}

/* A tombstone lies in the main queue, what it buries in probation's head, which stays
 * there while the main queue is evicted several times over. */
static void test_tombstones_outlive(void)
{
    apr_uint64_t evicted;
    fixture_t f;
    char key[16];
    int i, back = 0;

    fixture_new_root();
    f = fixture_open(4 * MB, SEGMENT, 50000);
    for (i = 0; i < 50; i++) {
        snprintf(key, sizeof(key), "t%d", i);
        fixture_put_simple(&f, key, 1, 2000, SEC(1));
        devcache_store_remove(f.s, devcache_slice_str(key), SEC(3), NULL);
    }
    for (i = 0; i < 8000; i++) {
        snprintf(key, sizeof(key), "m%d", i);
        put_to_main(&f, key);
    }
    evicted = fixture_stats(&f).evicted;
    ok(evicted > 6000, "the main queue was evicted several times over: %d objects",
       (int)evicted);
    fixture_close(&f);
    delete_index();
    f = fixture_open(8 * MB, SEGMENT, 50000);
    fixture_rebuild(&f);
    for (i = 0; i < 50; i++) {
        snprintf(key, sizeof(key), "t%d", i);
        back += fixture_get(&f, key, NULL) != FIXTURE_MISS;
    }
    is_int(back, 0, "no removed object comes back");
    fixture_close(&f);
}

/* Puts @a n objects of @a at, and removes them at once if @a remove. */
static void put_many(fixture_t *f, char kind, int n, apr_time_t at, int remove)
{
    char key[16];
    int i;

    for (i = 0; i < n; i++) {
        snprintf(key, sizeof(key), "%c%d", kind, i);
        fixture_put_simple(f, key, 1, 2000, at);
        if (remove) {
            devcache_store_remove(f->s, devcache_slice_str(key), at + SEC(1), NULL);
        }
    }
}

static int count(fixture_t *f, char kind, int n)
{
    char key[16];
    int i, found = 0;

    for (i = 0; i < n; i++) {
        snprintf(key, sizeof(key), "%c%d", kind, i);
        found += fixture_get(f, key, NULL) != FIXTURE_MISS;
    }
    return found;
}

/* The main queue's head, in which removals are written down, is the oldest file of a full
 * store, and what they are about is in the newest. Then the index is lost, and not all
 * files fit; into @a size in the end only those that were written after the last removal.
 */
static void test_tombstones_left_out(apr_uint64_t size, int more)
{
    apr_time_t now = apr_time_now();
    fixture_t f;

    fixture_new_root();
    f = fixture_open(4 * MB, SEGMENT, 50000);
    put_many(&f, 'f', 1, now, 1);
    put_many(&f, 'p', 4000, now + SEC(100), 0);
    put_many(&f, 't', 50, now, 1);
    put_many(&f, 'q', more, now + SEC(100), 0);
    fixture_close(&f);
    delete_index();
    f = fixture_open(size, SEGMENT, 50000);
    fixture_rebuild(&f);
    is_int(count(&f, 't', 50), 0, "not all files fit: no removed object comes back");
    ok(count(&f, 'p', 4000) + count(&f, 'q', more) > 100, "others do");
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
        devcache_record_t rec = {DEVCACHE_RECORD_OBJECT};

        devcache_record_file_encode(bytes, &header);
        is_int(devcache_record_file_decode(bytes, &read), i == 3, "a file's length");
        rec.ref_serial = 1;
        rec.body_len = lengths[i];
        devcache_record_measure(&rec);
        devcache_record_encode(bytes, &rec, 5, 64);
        is_int(devcache_record_peek(bytes, 5, &rec), i == 3, "a body's length");
    }
}

/* No descriptor is free when the rebuild begins: it must neither take removals for absent
 * nor objects. */
static void test_rebuild_without_descriptors(void)
{
    struct rlimit limit, none;
    apr_pool_t *child;
    fixture_t f;
    int i;

    fixture_new_root();
    f = fixture_open(4 * MB, SEGMENT, 50000);
    put_many(&f, 'p', 100, SEC(10), 0);
    fixture_close(&f);
    delete_index();
    f = fixture_open(4 * MB, SEGMENT, 50000);
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    none.rlim_cur = 3;
    fixture_logged[8] = 0;
    setrlimit(RLIMIT_NOFILE, &none);
    apr_pool_create_unmanaged(&child);
    devcache_store_child_init(f.s, 0, child);
    for (i = 0; i < 1000 && fixture_logged[8] == 0; i++) {
        apr_sleep(10000);
    }
    ok(fixture_logged[8] > 0, "it says that files cannot be read");
    setrlimit(RLIMIT_NOFILE, &limit);
    pthread_join(f.s->rebuilder, NULL);
    f.s->rebuilding = 0;
    apr_pool_destroy(child);
    is_int(count(&f, 'p', 100), 100, "descriptors return: nothing is lost");
    fixture_close(&f);
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

/* Damage found by a rebuild: the parser meets it first. */
static void test_damage_closed(int cut)
{
    segment_bytes_t b = {""};
    int wrong = 0, whole = 0, lost = 0;
    fixture_t f;
    apr_size_t i;

    fixture_new_root();
    f = fixture_open(4 * MB, SEGMENT, 4096);
    put_two(&f);
    fixture_close(&f);
    fixture_each_file(largest, &b);
    for (i = 0; i < b.len; i++) {
        unsigned char flipped = b.bytes[i] ^ 0x41;
        long one, two;
        int fd;

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
        delete_index();
        f = fixture_open(4 * MB, SEGMENT, 4096);
        fixture_rebuild(&f);
        one = fixture_get(&f, "one", "pc");
        two = fixture_get(&f, "two", NULL);
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
}

/* Shared memory that survived wrong: nothing of it may crash or make a wrong hit. */
static void test_garbled_anywhere(void)
{
    apr_uint64_t x = 88172645463325252ull;
    int round, wrong = 0, works = 0;
    fixture_t f;

    fixture_new_root();
    f = fixture_open(SIZE, SEGMENT, 4096);
    fill_store(&f);
    for (round = 0; round < 60; round++) {
        apr_uint64_t *words = (apr_uint64_t *)f.s->sh.head;
        apr_size_t n = f.s->sh.len / 8;
        int i;

        for (i = 0; i < 2000; i++) { /* densely at the head, sparsely in the entries */
            apr_size_t most = i % 4 == 0 ? 600 : i % 4 == 1 ? 20000 : n;

            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            words[16 + (x >> 8) % (most - 16)] = x % 5 ? x : (x >> 40) % 70;
        }
        pthread_mutex_init(&f.s->sh.head->alloc, NULL);
        pthread_mutex_init(&f.s->sh.head->evict, NULL);
        fixture_close(&f);
        f = fixture_open(SIZE, SEGMENT, 4096);
        fixture_rebuild(&f);
        wrong += f.rv != APR_SUCCESS || found_all(&f) < 0;
        fixture_put_simple(&f, "new", (unsigned)round, 500, SEC(round + 1));
        works += fixture_get(&f, "new", NULL) == round;
        fill_store(&f);
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
        fixture_rebuild(&f);
        if (i == 0) {
            fill_store(&f);
        }
        is_int(found_all(&f), OBJECTS, "does no harm");
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
    fill_store(&f);
    fixture_each_file(replace_with_link, (void *)(apr_uintptr_t) "seg-");
    ok(found_all(&f) >= 0, "links in place of segments of a running store are misses");
    fixture_close(&f);
    f = fixture_open(SIZE, SEGMENT, 0);
    is_int(f.rv, APR_SUCCESS, "and do not hinder a start");
    fixture_each_file(count_links, &links);
    is_int(links, 0, "which deletes them");
    fill_store(&f);
    is_int(found_all(&f), OBJECTS, "and works");
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
    ok(f.rv != APR_SUCCESS, "a link in place of the lock refuses the start");
    fixture_close(&f);
}

static void test_no_room_for_index(void)
{
    fixture_t f;

    fixture_new_root();
    setenv("DEVCACHE_FAULT", "fallocate:1", 1);
    f = fixture_open(SIZE, SEGMENT, 0);
    unsetenv("DEVCACHE_FAULT");
    ok(f.rv == ENOSPC && strstr(f.error, "DevCacheMaxObjects"),
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
    fill_store(&f);
    for (i = 0; i < f.s->sh.g.stripes; i++) {
        f.s->sh.stripes[i].count = 0xffffffffu;
    }
    is_int(devcache_inspect_open(&in, fixture_root, &error, f.pool), APR_SUCCESS,
           "an index with wrong counts can be looked at");
    is_int(in ? devcache_inspect_no_index(in) != NULL : -1, 0, "and is of use");
    fixture_close(&f);
}

int main(void)
{
    apr_initialize();
    test_warm_start();
    test_rebuild(delete_index, SIZE, SEGMENT, "opens without its index");
    test_rebuild(garble_index, SIZE, SEGMENT, "opens with a garbled index");
    test_rebuild(nothing, SIZE * 2, SEGMENT, "opens with another size");
    test_rebuild(nothing, SIZE * 2, SEGMENT * 2, "opens with another segment size");
    test_tombstones_outlive();
    test_tombstones_left_out(4 * MB, 0);
    test_tombstones_left_out(2 * MB, 180);
    test_rebuild_without_descriptors();
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
    return done_testing();
}
