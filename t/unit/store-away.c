/* SPDX-License-Identifier: Apache-2.0 */
/* The store without its root: directories that go and come, indexes that cannot be read,
 * volumes that are not mounted, servers that count processes otherwise. Whatever happens
 * the process goes on, and the store is there again when its root is. */
#include "base/bus.h"
#include "store/volume.h"
#include "store_fixture.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>

#define SIZE (8 * MB)
#define SEGMENT (256 * KB)
#define OBJECTS 100

static const char *trouble(fixture_t *f)
{
    const char *text = devcache_store_trouble(f->s, f->pool);

    return text ? text : "";
}

/* As some time later. */
static void tend(fixture_t *f)
{
    f->s->patience = 0;
    devcache_store_tend(f->s);
}

static fixture_t begin(void)
{
    fixture_t f;

    memset(fixture_logged, 0, sizeof(fixture_logged));
    fixture_new_root();
    f = fixture_open(SIZE, SEGMENT, 4096);
    fixture_put_many(&f, OBJECTS);
    return f;
}

static char *below_root(const char *name)
{
    static char path[300];

    snprintf(path, sizeof(path), "%s/%s", fixture_root, name);
    return path;
}

/* Descriptors of this process that lead to something whose path has @a part. */
static int open_below(const char *part)
{
    char path[64], to[512];
    int fd, n = 0;

    for (fd = 0; fd < 1024; fd++) {
        ssize_t len;

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        len = readlink(path, to, sizeof(to) - 1);
        to[len > 0 ? len : 0] = '\0';
        n += strstr(to, part) != NULL;
    }
    return n;
}

/* ---- the index ------------------------------------------------------------------- */

static void test_cut_index(void)
{
    fixture_t f = begin();
    int i;

    (void)!truncate(below_root("index"), 4096);
    ok(fixture_count(&f, OBJECTS) >= 0,
       "an index is cut: nothing wrong is found, and we live");
    for (i = 0; i < 50; i++) {
        fixture_put_simple(&f, "x", 1, 3000, SEC(1));
    }
    ok(strstr(trouble(&f), "index cannot be read") != NULL, "the trouble is named: %s",
       trouble(&f));
    is_int(fixture_count(&f, OBJECTS), 0, "the store is away");
    is_int(fixture_put_simple(&f, "x", 1, 3000, SEC(1)), ENODEV, "and stores nothing");
    tend(&f);
    is_int(fixture_logged[13], 1, "the log says so");
    is_int(fixture_logged[14], 1, "and that it is over");
    is_int(fixture_logged[11], 1, "and that the cache is cold");
    ok(!*trouble(&f), "no trouble any more: %s", trouble(&f));
    fixture_put_many(&f, OBJECTS);
    is_int(fixture_count(&f, OBJECTS), OBJECTS, "it fills again");
    fixture_close(&f);
}

static void *look_up_all(void *data)
{
    fixture_count(data, OBJECTS);
    return data;
}

/* Many threads meet it at once, some with a lock taken. */
static void test_cut_under_threads(void)
{
    pthread_t t[8];
    fixture_t f = begin();
    void *result;
    int i, alive = 0;

    for (i = 0; i < 8; i++) {
        pthread_create(&t[i], NULL, look_up_all, &f);
    }
    fixture_put_many(&f, OBJECTS);
    (void)!truncate(below_root("index"), 0);
    fixture_put_many(&f, OBJECTS);
    for (i = 0; i < 8; i++) {
        pthread_join(t[i], &result);
        alive += result == &f;
    }
    is_int(alive, 8, "all threads come to their end");
    tend(&f);
    fixture_put_many(&f, OBJECTS);
    is_int(fixture_count(&f, OBJECTS), OBJECTS, "and the store works again");
    fixture_close(&f);
}

static int others;

static void on_other(int sig, siginfo_t *info, void *context)
{
    others++;
    devcache_bus_blank((void *)((apr_uintptr_t)info->si_addr & ~(apr_uintptr_t)4095),
                       4096);
}

/* Other mappings are the business of whoever had the signal before. */
static void test_other_mappings(void)
{
    struct sigaction mine, was;
    volatile char *map;
    fixture_t f;
    int fd;

    memset(&mine, 0, sizeof(mine));
    mine.sa_sigaction = on_other;
    mine.sa_flags = SA_SIGINFO;
    sigaction(SIGBUS, &mine, &was);
    f = begin();
    fd = open(below_root("other"), O_RDWR | O_CREAT, 0600);
    (void)!ftruncate(fd, 4096);
    map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    (void)!ftruncate(fd, 0);
    is_int(map[10], 0, "a page of somebody else's that cannot be had");
    is_int(others, 1, "is given to the handler that was there before");
    is_int(fixture_count(&f, OBJECTS), OBJECTS, "the store goes on");
    close(fd);
    fixture_close(&f);
    sigaction(SIGBUS, &was, NULL);
}

/* ---- the directory ------------------------------------------------------------------ */

static void test_replaced(void)
{
    char other[300];
    fixture_t f = begin();
    devcache_publish_t what = {""};
    devcache_fill_t *fill;
    char back[5];

    snprintf(other, sizeof(other), "%s-other", fixture_root);
    fill = devcache_store_fill_begin(f.s, devcache_slice_str("begun"), f.pool);
    devcache_store_fill_write(fill, "bytes", 5, -1);
    rename(fixture_root, other);
    tend(&f);
    ok(strstr(trouble(&f), fixture_root) != NULL, "moved away: %s", trouble(&f));
    is_int(fixture_count(&f, OBJECTS), 0, "nothing is found");
    what.variant = what.meta = devcache_slice("", 0);
    is_int(devcache_store_fill_read(fill, 0, back, 5), APR_SUCCESS,
           "what was being stored can still be read");
    is_int(devcache_store_fill_publish(fill, &what), ENODEV, "but not be stored");
    tend(&f);
    is_int(open_below(other), 0, "no descriptor is left there");
    mkdir(fixture_root, 0700);
    tend(&f);
    ok(!*trouble(&f), "a new directory in its place is taken: %s", trouble(&f));
    is_int(fixture_count(&f, OBJECTS), 0, "and is empty");
    fixture_put_many(&f, OBJECTS);
    is_int(fixture_count(&f, OBJECTS), OBJECTS, "and used");
    fixture_each_file(fixture_unlink, NULL);
    rmdir(fixture_root);
    rename(other, fixture_root);
    tend(&f);
    is_int(fixture_count(&f, OBJECTS), OBJECTS,
           "the old one comes back, with all it had");
    is_int((long long)fixture_logged[11], 0, "nothing was deleted");
    fixture_close(&f);
}

static void test_owner(void)
{
    fixture_t f = begin();

    fixture_close(&f);
    chmod(fixture_root, 0777);
    memset(fixture_logged, 0, sizeof(fixture_logged));
    f = fixture_open(SIZE, SEGMENT, 4096);
    is_int(f.rv, FIXTURE_AWAY, "a root that others can write: the store is away");
    tend(&f);
    tend(&f);
    is_int(fixture_logged[13], 1, "which is said once");
    chmod(fixture_root, 0700);
    tend(&f);
    is_int(fixture_count(&f, OBJECTS), OBJECTS, "mended: it is there, and warm");
    fixture_close(&f);
}

/* Where one trouble shows in two sentences in turn, neither is said again. The path is part of
 * them, and another one each time. */
static void test_two_sentences(void)
{
    char other[300];
    int i, n, said = 0;

    for (n = 0; n < 32; n++) {
        fixture_t f = begin();

        snprintf(other, sizeof(other), "%s-moved", fixture_root);
        fixture_close(&f);
        chmod(fixture_root, 0777);
        memset(fixture_logged, 0, sizeof(fixture_logged));
        f = fixture_open(SIZE, SEGMENT, 4096);
        for (i = 0; i < 3; i++) {
            rename(fixture_root, other);
            tend(&f);
            rename(other, fixture_root);
            tend(&f);
        }
        said += fixture_logged[13];
        fixture_close(&f);
    }
    is_int(said, 64, "two sentences, three times each, with 32 roots: each is said once");
}

/* ---- processes ---------------------------------------------------------------------- */

/* Everybody has to let go before an index can be made anew: an idle child does as well. */
static void test_children(void)
{
    fixture_t f = begin();
    int status, i;
    pid_t pid;

    if ((pid = fork()) == 0) {
        apr_pool_t *p;

        apr_pool_create_unmanaged(&p);
        devcache_store_child_init(f.s, 0, p);
        fixture_each_file(fixture_unlink, (void *)(apr_uintptr_t) "index");
        for (i = 0; i < 200 && fixture_get(&f, "again", NULL) != 7; i++) {
            apr_sleep(100000); /* its thread does it */
        }
        apr_pool_destroy(p);
        _exit(i < 200 ? 0 : 1);
    }
    for (i = 0; i < 200 && f.s->root; i++) {
        apr_sleep(20000);
        devcache_store_tend(f.s);
    }
    for (i = 0; i < 200 && fixture_get(&f, "again", NULL) != 7; i++) {
        fixture_put_simple(&f, "again", 7, 100, SEC(1));
        apr_sleep(100000);
        tend(&f);
    }
    ok(i < 200, "parent and child let go of a lost index and agree on a new one");
    ok(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0,
       "the idle child as well");
    fixture_close(&f);
}

static void test_namespaces(void)
{
    fixture_t f = begin();
    int status = 0;
    pid_t pid;

    if ((pid = fork()) == 0) {
        fixture_t other;
        pid_t inner;

        if (unshare(CLONE_NEWPID | CLONE_NEWNS) != 0) {
            _exit(9);
        }
        if ((inner = fork()) == 0) {
            if (mount("proc", "/proc", "proc", 0, NULL) != 0) {
                _exit(9);
            }
            other = fixture_open(SIZE, SEGMENT, 4096);
            _exit(other.rv == FIXTURE_AWAY && strstr(other.error, "PID namespace") ? 0
                                                                                   : 1);
        }
        waitpid(inner, &status, 0);
        _exit(WEXITSTATUS(status));
    }
    waitpid(pid, &status, 0);
    if (WEXITSTATUS(status) == 9) {
        ok(1, "another PID namespace # skip needs root");
    } else {
        is_int(WEXITSTATUS(status), 0, "a server in another PID namespace stays away");
    }
    is_int(fixture_count(&f, OBJECTS), OBJECTS, "and harms nothing");
    fixture_close(&f);
}

/* ---- volumes ------------------------------------------------------------------------- */

static const char *write_below(const char *name, const char *text, apr_pool_t *p)
{
    const char *path = apr_pstrdup(p, below_root(name));
    FILE *f = fopen(path, "w");

    fputs(text, f);
    fclose(f);
    return path;
}

static void test_volumes(void)
{
    devcache_volume_t v = {"/srv/my cache/www"};
    apr_pool_t *p;

    fixture_new_root();
    apr_pool_create_unmanaged(&p);
    v.memory = apr_pstrdup(p, below_root("memory"));
    v.table = write_below("fstab", "# none\n", p);
    v.mounts = write_below("mounts", "/dev/a / ext4 rw 0 0\n", p);
    ok(!devcache_volume_away(&v, 0, p), "nothing is known: fine");
    devcache_volume_remember(&v, 5, p);
    ok(access(v.memory, F_OK) != 0, "on the root's own volume nothing is remembered");
    v.mounts = write_below(
        "mounts2", "/dev/a / ext4 rw 0 0\n/dev/b /srv/my\\040cache ext4 rw 0 0\n", p);
    ok(!devcache_volume_away(&v, 0, p), "mounted: fine");
    devcache_volume_remember(&v, 5, p);
    v.root = "/var/other";
    devcache_volume_remember(&v, 6, p);
    v.root = "/srv/my cache/www";
    v.mounts = write_below("mounts", "/dev/a / ext4 rw 0 0\n", p);
    ok(strstr(devcache_volume_away(&v, 0, p), "/srv/my cache") != NULL,
       "not mounted any more, and empty: it is away");
    ok(devcache_volume_away(&v, 7, p) != NULL, "with another cache: away");
    ok(!devcache_volume_away(&v, 5, p), "with the very cache: it was moved");
    v.root = "/srv/my cachet";
    ok(!devcache_volume_away(&v, 0, p), "a path that only begins like it: fine");
    v.root = "/srv/my cache/www";
    v.memory = NULL;
    ok(!devcache_volume_away(&v, 0, p), "without a memory: fine");
    v.table = write_below("fstab", "UUID=1 /srv/my\\040cache ext4 defaults 0 2\n", p);
    ok(strstr(devcache_volume_away(&v, 0, p), "fstab") != NULL,
       "fstab names it: it is away");
    ok(!devcache_volume_away(&v, 7, p), "unless a cache is there all the same");
    v.mounts = "/nonexistent";
    ok(!devcache_volume_away(&v, 0, p), "who cannot see what is mounted tells nothing");
    apr_pool_destroy(p);
}

int main(void)
{
    apr_initialize();
    test_cut_index();
    test_cut_under_threads();
    test_other_mappings();
    test_replaced();
    test_owner();
    test_two_sentences();
    test_children();
    test_namespaces();
    test_volumes();
    return done_testing();
}
