/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sections of the URL.
 *
 * httpd keeps with the request what its walk through the <Location> sections has come to, so
 * that one more walk with the first URL finds it there. It starts from nothing: the result
 * has what these sections say and no more, and is merged over what holds for the other URL,
 * as <Location> comes after <Directory> and <Files>. Other modules' directives stay as they are.
 */
#include "request/sections.h"

#include <http_config.h>
#include <http_request.h>
#include "mod_devcache.h"
#include "request/request.h"
#include "setup/conf.h"

int devcache_sections_note(request_rec *r)
{
    devcache_exchange_t *x = r->main || r->prev ? NULL : devcache_request_exchange(r);

    if (x) {
        x->asked.sections = r->per_dir_config;
        x->asked.sections_of = r->uri;
    }
    return DECLINED;
}

/* What the <Location> sections of this URL say; NULL: nothing. */
static void *say(request_rec *r, char *url)
{
    ap_conf_vector_t *held = r->per_dir_config;
    char *uri = r->uri;
    void *said = NULL;

    r->per_dir_config = ap_create_per_dir_config(r->pool);
    r->uri = url;
    if (ap_location_walk(r) == OK) {
        said = ap_get_module_config(r->per_dir_config, &devcache_module);
    }
    r->per_dir_config = held;
    r->uri = uri;
    return said;
}

int devcache_sections_keep(request_rec *r)
{
    devcache_exchange_t *x = r->main || r->prev ? NULL : devcache_request_exchange(r);
    const devcache_dir_t *dir = devcache_conf_dir(r);
    ap_conf_vector_t *own;
    void *said;

    if (!x || !x->asked.sections || x->asked.sections == r->per_dir_config ||
        (!devcache_dir_enabled(dir) && !devcache_dir_observe(dir)) ||
        !(said = say(r, x->asked.sections_of))) {
        return DECLINED;
    }
    own = ap_create_per_dir_config(r->pool);
    ap_set_module_config(own, &devcache_module, said);
    r->per_dir_config = ap_merge_per_dir_configs(r->pool, r->per_dir_config, own);
    return DECLINED;
}
