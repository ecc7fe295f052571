/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store under many threads of one process, without kills: the test for the thread
 * sanitizer. Small segments and few entries keep rolling and evicting under way.
 */
#include "store_hammer.h"
#include <signal.h>

#define THREADS 6
#define PROGRESS 400 /* times 50 operations */

/* @a size: how many heads there are goes by that. */
static void test_threads(apr_uint64_t size, unsigned objects)
{
    hammer_worker_t w[THREADS];
    pthread_t t[THREADS];
    devcache_store_stats_t st;
    int progress[2];
    fixture_t f;
    apr_pool_t *p;
    char c;
    int i;

    fixture_new_root();
    hammer_begin();
    f = fixture_open(size, 64 * KB, objects);
    is_int(f.rv, APR_SUCCESS, "opens");
    apr_pool_create(&p, NULL);
    f.s->root->hot = devcache_hot_create(128 * KB, p);
    if (pipe(progress) != 0) {
        perror("pipe");
        exit(1);
    }
    for (i = 0; i < THREADS; i++) {
        w[i].f = &f;
        w[i].seed = (apr_uint64_t)i + 0x9e3779b97f4a7c15ull;
        w[i].progress = progress[1];
        pthread_create(&t[i], NULL, hammer_work, &w[i]);
    }
    for (i = 0; i < PROGRESS && read(progress[0], &c, 1) == 1; i++) {
        fixture_stats(&f);
    }
    is_int(i, PROGRESS, "all went on");
    close(progress[0]);
    for (i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
    }
    close(progress[1]);
    st = fixture_stats(&f);
    printf("# %lu operations, %lu hits, %lu published, %lu refused; %llu without room, "
           "%llu superseded, %llu evicted, %llu requeued\n",
           hammer_board->ops, hammer_board->hits, hammer_board->published,
           hammer_board->refused, (unsigned long long)st.no_room,
           (unsigned long long)st.superseded, (unsigned long long)st.evicted,
           (unsigned long long)st.requeued);
    ok(hammer_board->hits > 100 && hammer_board->published > 100,
       "hits and publications");
    ok(st.evicted > 10 && st.requeued > 10, "with eviction under way");
    is_int((long long)hammer_board->wrong, 0, "no body was ever wrong");
    is_int((long long)hammer_board->zombies, 0, "nothing removed was found again");
    is_int((long long)st.damaged, 0, "nothing was damaged");
    is_int((long long)st.errors, 0, "no errors");
    ok(hammer_slots_agree(&f), "table, sums and directory agree");
    devcache_hot_clear(f.s->root->hot);
    fixture_close(&f);
    apr_pool_destroy(p);
    hammer_end();
}

int main(void)
{
    apr_initialize();
    signal(SIGPIPE, SIG_IGN);
    test_threads(1 * MB, 200);
    test_threads(4 * MB, 800);
    return done_testing();
}
