/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work for nobody.
 *
 * A fetch has readers: its client, as long as that is there and has not been told that it
 * has the page already, and those who follow its flight. When the last one has left, the
 * fetch goes on for DevCacheFinish, as pages that are nearly done are worth their end; for
 * half a minute where at least half of the body has come; not at all in a child that is
 * about to end. Somebody who joins meanwhile makes it a fetch like any other.
 *
 * A refresh is for those who come later, and ends by itself.
 */
#include "request/finish.h"

#include <ap_mpm.h>
#include "base/clock.h"
#include "request/backend.h"
#include "request/collapse.h"
#include "request/tee.h"

#define HALF_DONE apr_time_from_sec(30)
#define SLICE apr_time_from_msec(100) /* between two looks whether somebody has come */

static int has_reader(request_rec *r, devcache_exchange_t *x)
{
    int client_gone = devcache_tee_client_gone(r, x);

    return x->refresh.running || (!client_gone && !x->save.bodyless) ||
           devcache_collapse_is_followed(x);
}

static int is_half_done(const devcache_exchange_t *x)
{
    return x->save.expect >= 0 && x->save.written >= x->save.expect - x->save.written;
}

static int is_stopping(void)
{
    int state = AP_MPMQ_RUNNING;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS &&
           state == AP_MPMQ_STOPPING;
}

int devcache_finish_is_due(request_rec *r, devcache_exchange_t *x)
{
    apr_interval_time_t finish = devcache_dir_finish(x->dir);
    apr_time_t now;

    if (has_reader(r, x)) {
        x->save.left_at = 0;
        return 0;
    }
    now = devcache_monotonic();
    x->save.left_at = x->save.left_at ? x->save.left_at : now;
    if (is_stopping()) {
        return 1;
    }
    if (finish >= 0 && finish < HALF_DONE && is_half_done(x)) {
        finish = HALF_DONE;
    }
    return finish >= 0 && now - x->save.left_at >= finish;
}

void devcache_finish_pause(request_rec *r, devcache_exchange_t *x)
{
    /* Parts of pages have backends of their own, which may have gone since. */
    while (!x->part.any && !has_reader(r, x) && !devcache_finish_is_due(r, x) &&
           devcache_backend_wait(SLICE, r->pool) == APR_TIMEUP) {
    }
}
