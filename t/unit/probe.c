/* SPDX-License-Identifier: Apache-2.0 */
/* devcache_probe: what is tried, how long it holds, and what becomes of a try whose
 * process was killed. */
#include "store/probe.h"

#include <signal.h>
#include <sys/wait.h>
#include "store_fixture.h"

#define NOW SEC(1782777600)

static fixture_t f;

static const char *check(apr_time_t now)
{
    return devcache_probe_store(f.s, now, f.pool);
}

static int has_probe(void)
{
    char path[300];

    snprintf(path, sizeof path, "%s/probe", fixture_root);
    return access(path, F_OK) == 0;
}

static void test_ready(void)
{
    apr_uint64_t magic = f.s->root->sh.head->magic;

    ok(check(NOW) == NULL, "ready");
    ok(!has_probe(), "nothing stays");
    f.s->root->sh.head->magic ^= 1;
    ok(check(NOW + SEC(1) / 2) == NULL, "what was found holds for a second");
    ok(strstr(check(NOW + SEC(1)), "its index is damaged") != NULL, "a damaged index");
    f.s->root->sh.head->magic = magic;
    ok(check(NOW + SEC(1)) != NULL, "that holds too");
    ok(check(NOW + SEC(2)) == NULL, "for a second");
    ok(check(NOW - SEC(100)) == NULL, "a clock set back is no obstacle");
}

static void try_and_die(apr_time_t now)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        setenv("DEVCACHE_FAULT", "probe:1", 1);
        check(now);
        _exit(0);
    }
    ok(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status), "killed in a try");
}

static void test_killed(void)
{
    apr_time_t now = NOW + SEC(1000);

    try_and_die(now);
    ok(has_probe(), "its file is left");
    ok(check(now) == NULL, "the next one who asks tries again");
    ok(!has_probe(), "which tidies up");
    try_and_die(now + SEC(100));
    ok(check(now) == NULL, "a clock set back is no obstacle");
}

/* A try that hangs, as on a network file system whose server is away. */
static void test_hanging(void)
{
    apr_time_t now = NOW + SEC(1500);
    int status;
    const char *why;
    pid_t pid = fork();

    if (pid == 0) {
        setenv("DEVCACHE_FAULT", "probe:1:stop", 1);
        check(now);
        _exit(0);
    }
    ok(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status), "stopped in a try");
    ok(check(now + SEC(4)) == NULL, "hanging: for a while the last answer holds");
    why = check(now + SEC(6));
    ok(why && strstr(why, "has not come back for 6 seconds"),
       "hanging: then it is a failure");
    ok(check(now + SEC(600)) != NULL, "hanging: for as long as it lasts");
    kill(pid, SIGCONT);
    waitpid(pid, &status, 0);
    ok(check(now + SEC(601)) == NULL, "hanging: and no longer");
}

static void test_gone(void)
{
    const char *why;

    fixture_remove_root();
    why = check(NOW + SEC(2000));
    ok(why && strstr(why, "no file can be made there: No such file"),
       "a root that is gone");
}

int main(void)
{
    apr_initialize();
    atexit(apr_terminate);
    fixture_new_root();
    f = fixture_open(8 * MB, 256 * KB, 0);
    ok(f.rv == APR_SUCCESS, "a store");
    ok(check(NOW) == NULL, "ready, without shared memory too");
    ok(devcache_probe_create(f.pool) == APR_SUCCESS, "shared memory");
    test_ready();
    test_killed();
    test_hanging();
    test_gone();
    fixture_close(&f);
    return done_testing();
}
