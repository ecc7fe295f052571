/* SPDX-License-Identifier: Apache-2.0 */
/* One place for both, so that no file of the store needs the facade that stands above. */
#include "store/say.h"

#include <stdarg.h>
#include <stdio.h>
#include "store/spec.h"

void devcache_store_say(const devcache_store_conf_t *conf, int level, int tag,
                        apr_status_t rv, const char *fmt, ...)
{
    char msg[1024];
    va_list ap;

    if (conf->log) {
        va_start(ap, fmt);
        vsnprintf(msg, sizeof(msg), fmt, ap);
        va_end(ap);
        conf->log(level, tag, rv, msg);
    }
}

void devcache_store_stats_of(const devcache_shared_t *sh, devcache_store_stats_t *out)
{
    const devcache_shared_head_t *h = sh->head;
    apr_uint64_t n[DEVCACHE_N_COUNTERS];
    int i;

    for (i = 0; i < DEVCACHE_N_COUNTERS; i++) {
        n[i] = __atomic_load_n(&h->counters[i], __ATOMIC_RELAXED);
    }
    memset(out, 0, sizeof(*out));
    out->bytes = __atomic_load_n(&h->used, __ATOMIC_RELAXED);
    out->segments = __atomic_load_n(&h->files, __ATOMIC_RELAXED);
    out->size = sh->g.size;
    out->objects = devcache_index_objects(sh);
    out->max_objects = (apr_uint64_t)sh->g.stripes * sh->g.entries;
    out->max_files = sh->g.slots;
    out->specs = devcache_spec_count(sh, &out->spec_bytes);
    out->max_specs = DEVCACHE_SPECS;
    out->max_spec_bytes = DEVCACHE_SPEC_TEXT;
    out->published = n[DEVCACHE_N_PUBLISHED];
    out->refreshed = n[DEVCACHE_N_REFRESHED];
    out->removed = n[DEVCACHE_N_REMOVED];
    out->evicted = n[DEVCACHE_N_EVICTED];
    out->requeued = n[DEVCACHE_N_REQUEUED];
    out->damaged = n[DEVCACHE_N_DAMAGED];
    out->errors = n[DEVCACHE_N_ERRORS];
    out->no_room = n[DEVCACHE_N_NO_ROOM];
    out->superseded = n[DEVCACHE_N_SUPERSEDED];
}
