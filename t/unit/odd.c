/* SPDX-License-Identifier: Apache-2.0 */
/* Names of odd fields in shared memory. */
#include "stats/odd.h"

#include <sys/wait.h>
#include <unistd.h>
#include <apr_general.h>
#include <apr_strings.h>
#include "tap.h"

/* How many of four children are the first to tell of a name? */
static int told_in_children(const char *root)
{
    int i, status, first = 0;

    for (i = 0; i < 4; i++) {
        if (fork() == 0) {
            int n, mine = 0;
            for (n = 0; n < 1000; n++) {
                mine += devcache_odd_note(root, 'f', "X-Shared", 5);
            }
            _exit(mine);
        }
    }
    while (wait(&status) > 0) {
        first += WEXITSTATUS(status);
    }
    return first;
}

int main(void)
{
    apr_array_header_t *list;
    apr_uint64_t others;
    const devcache_odd_t *odd;
    apr_pool_t *p;
    int i, first;

    apr_initialize();
    apr_pool_create(&p, NULL);
    ok(!devcache_odd_note("/a", 'f', "X-A", 1), "nothing is kept before there is memory");
    ok(devcache_odd_create(p) == APR_SUCCESS, "there is");
    ok(devcache_odd_note("/a", 'f', "X-A", 10) == 1, "a new name");
    ok(devcache_odd_note("/a", 'f', "x-a", 20) == 0, "known, whatever its letters' case");
    ok(devcache_odd_note("/a", 'c', "X-A", 20) == 1, "a cookie of that name is another");
    ok(devcache_odd_note("/a", 'c', "x-a", 20) == 1, "and there the case counts");
    ok(devcache_odd_note("/b", 'f', "X-A", 20) == 1, "another root is told anew");
    devcache_odd_note("/a", 'f', "X-A", 30);
    devcache_odd_note("/a", 'f', "b\"\n<\xc3", 5);
    list = devcache_odd_read("/a", &others, p);
    ok(list->nelts == 4 && others == 0, "four");
    odd = &APR_ARRAY_IDX(list, 0, devcache_odd_t);
    is_str(odd->name, "x-a", "the most frequent first");
    ok(odd->kind == 'f' && odd->times == 3 && odd->first == 10 && odd->last == 30,
       "how often and when");
    is_str(APR_ARRAY_IDX(list, 3, devcache_odd_t).name[0] == 'b'
               ? APR_ARRAY_IDX(list, 3, devcache_odd_t).name
           : APR_ARRAY_IDX(list, 2, devcache_odd_t).name[0] == 'b'
               ? APR_ARRAY_IDX(list, 2, devcache_odd_t).name
               : APR_ARRAY_IDX(list, 1, devcache_odd_t).name,
           "b\"?<?", "only what can be printed");

    first = told_in_children("/c");
    list = devcache_odd_read("/c", &others, p);
    ok(first >= 1 && list->nelts == 1 &&
           APR_ARRAY_IDX(list, 0, devcache_odd_t).times == 4000,
       "four children at once");

    for (i = 0; i < 100; i++) {
        devcache_odd_note("/d", 'f', apr_psprintf(p, "X-%d", i), 1);
    }
    list = devcache_odd_read("/d", &others, p);
    ok(list->nelts == DEVCACHE_ODD_NAMES && others == 36, "a flood: 64 and no more");
    ok(devcache_odd_note("/d", 'f', "X-0", 2) == 0, "those are counted on");
    for (i = 0; i < 40; i++) {
        devcache_odd_note(apr_psprintf(p, "/r/%d", i), 'f', "X-A", 1);
    }
    list = devcache_odd_read("/r/39", &others, p);
    ok(list->nelts == 1, "more roots than tables share the last one");
    return done_testing();
}
