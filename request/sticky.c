/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mod_proxy_balancer looks for the cookie in the request header, when it chooses a member;
 * then mod_proxy sends that header. A request with a session's cookie must reach the
 * member that has the session, or it begins a new one; but a cookie that does not count
 * must not reach the application. So the balancer is shown all cookies, and when a member
 * has been chosen, which is when mod_proxy runs its hook scheme_handler, those that do not
 * count go.
 *
 * mod_proxy's hooks are functions of mod_proxy.so, which need not be loaded; so they are
 * looked up there. If that fails all cookies are treated alike, the balancer's as well.
 */
#include "request/sticky.h"

#include <apr_dso.h>
#include <http_config.h>

static int is_hooked;

/* As mod_proxy.h has it; what it points to is not looked at. */
static int hide_again(request_rec *r, void *worker, void *conf, char *url,
                      const char *host, apr_port_t port)
{
    devcache_exchange_t *x = devcache_request_exchange(r);

    if (x && x->origin.running && x->asked.shown_to_balancer) {
        const char *kept = apr_table_get(x->asked.fields, "Cookie");

        if (kept) {
            apr_table_setn(r->headers_in, "Cookie", kept);
        } else {
            apr_table_unset(r->headers_in, "Cookie");
        }
    }
    return DECLINED;
}

void devcache_sticky_show(request_rec *r, devcache_exchange_t *x, apr_table_t *header)
{
    const char *all = apr_table_get(x->asked.own_fields, "Cookie");

    if (is_hooked && all && r->filename && !strncmp(r->filename, "proxy:balancer:", 15)) {
        apr_table_setn(header, "Cookie",
                       apr_table_getm(r->pool, x->asked.own_fields, "Cookie"));
        x->asked.shown_to_balancer = 1;
    }
}

typedef int scheme_handler_fn(request_rec *r, void *worker, void *conf, char *url,
                              const char *host, apr_port_t port);
typedef void hook_fn(scheme_handler_fn *fn, const char *const *before,
                     const char *const *after, int order);

void devcache_sticky_hook(void)
{
    module *proxy = ap_find_linked_module("mod_proxy.c");
    union {
        apr_dso_handle_sym_t symbol;
        hook_fn *hook;
    } found = {NULL};

    is_hooked = proxy && proxy->dynamic_load_handle &&
                apr_dso_sym(&found.symbol, proxy->dynamic_load_handle,
                            "proxy_hook_scheme_handler") == APR_SUCCESS;
    if (is_hooked) {
        found.hook(hide_again, NULL, NULL, APR_HOOK_REALLY_FIRST);
    }
}
