/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store under processes that are killed: at chosen points, and at any instant while
 * several processes with several threads look up, publish and remove.
 *
 * What is checked: a body always is what its key and version say; what was removed does
 * not come back; sums, table and directory agree; nobody waits for the dead.
 */
#include "store_hammer.h"
#include <signal.h>
#include <sys/wait.h>

#define SIZE (8 * MB)
#define SEGMENT (128 * KB) /* two heads */
#define SMALL (64 * KB)
#define CHILDREN 4
#define THREADS 2
#define KILLS 60

/* ---- chosen points -------------------------------------------------------- */

static int dies_at(fixture_t *f, const char *fault)
{
    int status, i;
    char key[16];
    pid_t pid = fork();

    if (pid == 0) {
        setenv("DEVCACHE_FAULT", fault, 1);
        fixture_new_child(f);
        for (i = 0; i < 5000; i++) {
            snprintf(key, sizeof(key), "c%d", i % 3000);
            fixture_put_simple(f, key, (unsigned)i, i % 50 ? 2000 : 60 * KB, SEC(1 + i));
            fixture_get(f, key, NULL);
        }
        _exit(0);
    }
    return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
           WTERMSIG(status) == SIGKILL;
}

static void test_point(const char *fault)
{
    fixture_t f;
    char key[16];
    int i, wrong = 0, works = 0;

    fixture_new_root();
    f = fixture_open(SIZE, SEGMENT, 0);
    ok(dies_at(&f, fault), "a child dies at %s", fault);
    fixture_new_child(&f); /* as the next child would start */
    for (i = 0; i < 3000; i++) {
        snprintf(key, sizeof(key), "c%d", i);
        wrong += fixture_get(&f, key, NULL) == FIXTURE_WRONG;
    }
    is_int(wrong, 0, "nothing wrong is found");
    for (i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "n%d", i);
        fixture_put_simple(&f, key, (unsigned)i, i % 100 ? 2000 : 60 * KB, SEC(1));
        works += fixture_get(&f, key, NULL) == i;
    }
    is_int(works, 1000, "the others go on");
    ok(hammer_slots_agree(&f), "table, sums and directory agree");
    is_int((long long)fixture_stats(&f).damaged, 0, "nothing is damaged");
    fixture_close(&f);
}

/* ---- any instant ---------------------------------------------------------- */

static pid_t start_child(fixture_t *f, int progress[2], apr_uint64_t seed)
{
    hammer_worker_t w[THREADS];
    pthread_t t[THREADS];
    apr_pool_t *p;
    pid_t pid = fork();
    int i;

    if (pid != 0) {
        return pid;
    }
    close(progress[0]);
    signal(SIGPIPE, SIG_IGN);
    apr_pool_create_unmanaged(&p);
    devcache_store_child_init(f->s, 0, p);
    for (i = 0; i < THREADS; i++) {
        w[i].f = f;
        w[i].seed = seed * 2 + (apr_uint64_t)i + 0x9e3779b97f4a7c15ull;
        w[i].progress = progress[1];
        pthread_create(&t[i], NULL, hammer_work, &w[i]);
    }
    for (i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
    }
    apr_pool_destroy(p);
    _exit(0);
}

static void wait_progress(int fd, apr_uint64_t bytes)
{
    char c;

    while (bytes-- > 0 && read(fd, &c, 1) == 1) {
        ;
    }
}

static int run_hammer(fixture_t *f)
{
    apr_uint64_t random = 88172645463325252ull;
    pid_t pid[CHILDREN];
    int progress[2];
    int status, i, clean = 0;

    if (pipe(progress) != 0) {
        return 0;
    }
    for (i = 0; i < CHILDREN; i++) {
        pid[i] = start_child(f, progress, hammer_random(&random));
    }
    for (i = 0; i < KILLS; i++) {
        int victim = (int)(hammer_random(&random) % CHILDREN);

        wait_progress(progress[0], 1 + hammer_random(&random) % 8);
        kill(pid[victim], SIGKILL);
        waitpid(pid[victim], &status, 0);
        pid[victim] = start_child(f, progress, hammer_random(&random));
    }
    wait_progress(progress[0], 20);
    close(progress[0]);
    close(progress[1]);
    for (i = 0; i < CHILDREN; i++) {
        clean += waitpid(pid[i], &status, 0) == pid[i] && WIFEXITED(status);
    }
    return clean == CHILDREN;
}

/* Does a record lie there that has its body in another? */
static int refers_somewhere(const fixture_t *f)
{
    const devcache_shared_t *sh = &f->s->root->sh;
    apr_size_t i, all = (apr_size_t)sh->g.stripes * sh->g.entries;
    int n = 0;

    for (i = 0; i < all; i++) {
        const devcache_entry_t *e = &sh->entries[i];

        n += e->used && e->body_slot < sh->g.slots &&
             sh->slots[e->body_slot].kind == DEVCACHE_FILE_SEGMENT &&
             devcache_shared_alive(sh, e->body_slot, e->body_serial);
    }
    return n > 0;
}

/* @a size: how many heads there are goes by that. */
static void test_hammer(apr_uint64_t size, unsigned objects)
{
    devcache_store_stats_t st;
    fixture_t f;
    char key[16];
    int i, class, wrong = 0, zombies = 0;
    long found;

    fixture_new_root();
    hammer_begin();
    f = fixture_open(size, SMALL, objects); /* smaller than what is published */
    ok(run_hammer(&f), "%d kills; those who were not killed end by themselves", KILLS);
    fixture_new_child(&f);
    st = fixture_stats(&f);
    printf("# %lu operations, %lu hits, %lu published, %lu refused; %llu without room, "
           "%llu superseded, %llu evicted, %llu requeued\n",
           hammer_board->ops, hammer_board->hits, hammer_board->published,
           hammer_board->refused, (unsigned long long)st.no_room,
           (unsigned long long)st.superseded, (unsigned long long)st.evicted,
           (unsigned long long)st.requeued);
    ok(hammer_board->hits > 1000 && hammer_board->published > 1000,
       "a lot was found and published");
    is_int((long long)hammer_board->wrong, 0, "no body was ever wrong");
    is_int((long long)hammer_board->zombies, 0, "nothing removed was ever found again");
    is_int((long long)st.damaged, 0, "nothing was damaged");
    is_int((long long)st.errors, 0, "no errors");
    ok(refers_somewhere(&f), "bodies were shared");
    ok(hammer_slots_agree(&f), "table, sums and directory agree");
    fixture_close(&f);
    f = fixture_open(size, SMALL, objects);
    is_int(f.rv, APR_SUCCESS, "it opens again");
    ok(hammer_slots_agree(&f), "all agrees after repair too");
    fixture_close(&f);
    f = fixture_open(2 * size, SMALL, 2 * objects);
    ok(hammer_slots_agree(&f), "and after it was carried over into another size");
    for (i = 0; i < HAMMER_KEYS; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        for (class = 0; class < 4; class ++) {
            found = fixture_get(&f, key, hammer_class[class]);
            wrong += found == FIXTURE_WRONG;
            zombies += found >= 0 && (unsigned)found <= hammer_board->removed[i];
        }
    }
    is_int(wrong, 0, "no body is wrong there");
    is_int(zombies, 0, "nothing removed is found there");
    fixture_close(&f);
    hammer_end();
}

int main(void)
{
    apr_initialize();
    test_point("kill-in-stripe:40");
    test_point("kill-after-append:30");
    test_point("kill-in-alloc:20");
    test_point("kill-in-evict:5");
    test_point("kill-in-body:3");
    test_hammer(2 * MB, 1000);
    test_hammer(4 * MB, 2000);
    return done_testing();
}
