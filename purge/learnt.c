/* SPDX-License-Identifier: Apache-2.0 */
#include "purge/learnt.h"

#include <apr_strings.h>
#include "devcache_vary.h"
#include "http/variance.h"

#define VARIANT "-" /* there is one only */
#define LIFETIME apr_time_from_sec(APR_INT64_C(10) * 365 * 86400)

/* "nvs+https://host/path"; data NULL if @a key is none. */
static devcache_slice_t key_of(devcache_slice_t key, apr_pool_t *p)
{
    devcache_vary_parts_t k;

    if (!devcache_vary_key_parts(key, &k) || !k.host.data || !k.path.data) {
        return devcache_slice(NULL, 0);
    }
    return devcache_vary_key(
        apr_psprintf(p, "nvs+%.*s", (int)k.scheme.len, k.scheme.data),
        apr_pstrmemdup(p, k.host.data, k.host.len), k.port,
        apr_pstrmemdup(p, k.path.data, k.path.len), NULL, p);
}

static devcache_slice_t the_variant(void *unused, const char *spec, apr_pool_t *p)
{
    return devcache_slice_str(VARIANT);
}

void devcache_learnt_find(devcache_store_t *store, devcache_slice_t key,
                          devcache_learnt_t *out, apr_pool_t *p)
{
    devcache_slice_t own = key_of(key, p);
    devcache_hit_t *hit;

    out->rule = NULL;
    out->since = 0;
    if (own.data &&
        devcache_store_lookup(store, own, the_variant, NULL, &hit, p) == APR_SUCCESS) {
        out->rule = apr_pstrmemdup(p, hit->meta.data, hit->meta.len);
        out->since = hit->stored_at;
    }
}

devcache_slice_t devcache_learnt_key(const devcache_learnt_t *learnt,
                                     devcache_slice_t key, apr_pool_t *p)
{
    devcache_vary_parts_t k;

    if (!learnt->rule || !devcache_vary_key_parts(key, &k) || !k.query.data) {
        return key;
    }
    return devcache_vary_key(
        apr_pstrmemdup(p, k.scheme.data, k.scheme.len),
        apr_pstrmemdup(p, k.host.data, k.host.len), k.port,
        apr_pstrmemdup(p, k.path.data, k.path.len),
        devcache_variance_simplify(learnt->rule,
                                   apr_pstrmemdup(p, k.query.data, k.query.len), p),
        p);
}

apr_status_t devcache_learnt_keep(devcache_store_t *store, devcache_slice_t key,
                                  const char *rule, apr_time_t now, apr_pool_t *p)
{
    devcache_slice_t own = key_of(key, p);
    devcache_publish_t what = {"", devcache_slice_str(VARIANT)};

    if (!own.data) {
        return APR_EINVAL;
    }
    if (!rule) {
        return devcache_store_remove(store, own, NULL);
    }
    what.meta = devcache_slice_str(rule);
    what.requested_at = what.stored_at = now;
    what.fresh_until = now + LIFETIME;
    what.max_variants = 1;
    return devcache_store_fill_publish(devcache_store_fill_begin(store, own, p), &what);
}
