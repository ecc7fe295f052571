/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What mod_proxy spends most on before it is known that a request is a hit is the backend's
 * URL in canonical form. mod_proxy_http makes it of these, and of nothing else:
 *
 *     the URL            as ProxyPass, ProxyPassMatch, RewriteRule or interpolation has left it
 *     the query          r->args, taken over as it is
 *     AllowEncodedSlashes of the place
 *
 * all of which are compared byte for byte before the same result is given out again. Where a
 * note says that the URL is not to be encoded, and for a forward proxy, mod_proxy makes it.
 * So it does for all if somebody else than httpd's own modules has a hand in it.
 *
 * What is remembered lies in a table of the child's, of a fixed size, in place: nothing is
 * allocated, nothing is freed. A URL has one slot, which is held for a few instructions; who
 * finds it taken goes without. A URL comes in when it is asked for a second time before
 * another one of its slot: what is asked for once displaces nothing.
 *
 * mod_proxy's hooks are functions of mod_proxy.so, which need not be loaded; so they are
 * looked up there, as in request/sticky.c.
 */
#include "request/canon.h"

#include <stdlib.h>
#include <string.h>
#include <apr_dso.h>
#include <apr_strings.h>
#include <httpd.h>
#include <http_config.h>
#include <http_core.h>
#include <xxhash.h>
#include <mod_proxy.h>
#include "request/request.h"

#define SLOTS                                                                            \
    4096 /* a power of two; a MB for each child, of which it touches what it uses */
#define TEXT_MAX 240
#define NO_ARGS 0xffffu /* as a length: no "?" */

typedef struct slot_t {
    apr_uint32_t taken;             /* atomic; guards the rest */
    apr_uint32_t print;             /* of what was asked for last; relaxed */
    unsigned short url, args, made; /* lengths; made 0: seen once, nothing remembered */
    unsigned short slashes;
    char text[TEXT_MAX]; /* url, args, made, one after the other */
} slot_t;

/* What it is made of. */
typedef struct asked_t {
    const char *url, *args;
    apr_size_t url_len, args_len;
    unsigned short slashes;
} asked_t;

typedef void hook_fn(proxy_HOOK_canon_handler_t *fn, const char *const *before,
                     const char *const *after, int order);
typedef apr_array_header_t *hooks_fn(void);

static slot_t *slots;
static proxy_HOOK_canon_handler_t *run; /* mod_proxy's */

/* ---- the table ------------------------------------------------------------------- */

static apr_size_t args_bytes(const asked_t *a)
{
    return a->args ? a->args_len : 0;
}

static apr_uint64_t hash_of(const asked_t *a)
{
    apr_uint64_t h = XXH3_64bits_withSeed(a->url, a->url_len, a->slashes);

    return a->args ? XXH3_64bits_withSeed(a->args, a->args_len, h) : h;
}

static int take(slot_t *slot)
{
    return !__atomic_exchange_n(&slot->taken, 1, __ATOMIC_ACQUIRE);
}

static void give_back(slot_t *slot)
{
    __atomic_store_n(&slot->taken, 0, __ATOMIC_RELEASE);
}

static int is_it(const slot_t *slot, const asked_t *a)
{
    return slot->made && slot->url == a->url_len && slot->slashes == a->slashes &&
           slot->args == (a->args ? a->args_len : NO_ARGS) &&
           !memcmp(slot->text, a->url, a->url_len) &&
           (!a->args || !memcmp(slot->text + a->url_len, a->args, a->args_len));
}

/* Was it asked for lately? It is from now on. */
static int seen_before(slot_t *slot, apr_uint32_t print)
{
    if (__atomic_load_n(&slot->print, __ATOMIC_RELAXED) == print) {
        return 1;
    }
    __atomic_store_n(&slot->print, print, __ATOMIC_RELAXED);
    return 0;
}

/* NULL: it is not there. */
static char *find(slot_t *slot, const asked_t *a, apr_pool_t *p)
{
    char *made = NULL;

    if (take(slot)) {
        if (is_it(slot, a)) {
            made = apr_pstrmemdup(p, slot->text + a->url_len + args_bytes(a), slot->made);
        }
        give_back(slot);
    }
    return made;
}

static void remember(slot_t *slot, const asked_t *a, const char *made)
{
    apr_size_t args = args_bytes(a), len = strlen(made);

    if (len && a->url_len + args + len <= TEXT_MAX && take(slot)) {
        slot->url = (unsigned short)a->url_len;
        slot->args = (unsigned short)(a->args ? args : NO_ARGS);
        slot->made = (unsigned short)len;
        slot->slashes = a->slashes;
        memcpy(slot->text, a->url, a->url_len);
        if (args) {
            memcpy(slot->text + a->url_len, a->args, args);
        }
        memcpy(slot->text + a->url_len + args, made, len);
        give_back(slot);
    }
}

/* ---- mod_proxy ------------------------------------------------------------------- */

static int is_ours(request_rec *r, const char *url)
{
    return slots && r->proxyreq == PROXYREQ_REVERSE && !strncmp(url, "http", 4) &&
           (url[4] == ':' || (url[4] == 's' && url[5] == ':'));
}

/* To be sent as it is: mod_proxy looks at it, and at the query, in other ways then. */
static int is_as_sent(const request_rec *r)
{
    return apr_table_get(r->notes, "proxy-nocanon") ||
           apr_table_get(r->notes, "proxy-noencode");
}

static void read_asked(request_rec *r, const char *url, asked_t *a)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);

    a->url = url;
    a->url_len = strlen(url);
    a->args = r->args;
    a->args_len = a->args ? strlen(a->args) : 0;
    a->slashes = (unsigned short)(core->allow_encoded_slashes |
                                  core->decode_encoded_slashes << 1);
}

static int make(request_rec *r, devcache_exchange_t *x, char *url, slot_t *slot,
                const asked_t *a)
{
    asked_t asked = *a;
    int rv;

    asked.url = apr_pstrmemdup(r->pool, url, a->url_len); /* it is written into */
    x->asked.canonical = 1;
    rv = run(r, url);
    x->asked.canonical = 0;
    if (rv == OK && r->filename && r->args == asked.args) {
        remember(slot, &asked, r->filename);
    }
    return rv;
}

/* Hook canon_handler, before all others. */
static int canonical(request_rec *r, char *url)
{
    devcache_exchange_t *x = devcache_request_exchange(r);
    apr_uint64_t hash;
    asked_t asked;
    slot_t *slot;
    char *made;

    if (!x || x->asked.canonical || !is_ours(r, url)) {
        return DECLINED;
    }
    read_asked(r, url, &asked);
    hash = hash_of(&asked);
    slot = &slots[hash & (SLOTS - 1)];
    if (asked.url_len + args_bytes(&asked) >= TEXT_MAX ||
        !seen_before(slot, (apr_uint32_t)(hash >> 32)) || is_as_sent(r)) {
        return DECLINED;
    }
    if (!(made = find(slot, &asked, r->pool))) {
        return make(r, x, url, slot, &asked);
    }
    r->filename = made;
    return OK;
}

/* Does nobody but httpd's own modules make such a URL? Another one may go by anything. */
static int is_all_httpds(const apr_array_header_t *hooks)
{
    int i;

    for (i = 0; hooks && i < hooks->nelts; i++) {
        const char *name = APR_ARRAY_IDX(hooks, i, proxy_LINK_canon_handler_t).szName;
        if (!name || strncmp(name, "mod_proxy", 9)) {
            return 0;
        }
    }
    return 1;
}

void devcache_canon_hook(void)
{
    module *proxy = ap_find_linked_module("mod_proxy.c");
    apr_dso_handle_t *dso = proxy ? proxy->dynamic_load_handle : NULL;
    union {
        apr_dso_handle_sym_t symbol;
        hook_fn *hook;
        hooks_fn *hooks;
        proxy_HOOK_canon_handler_t *run;
    } hook = {NULL}, hooks = {NULL}, runner = {NULL};

    run = NULL;
    if (dso &&
        apr_dso_sym(&hook.symbol, dso, "proxy_hook_canon_handler") == APR_SUCCESS &&
        apr_dso_sym(&hooks.symbol, dso, "proxy_hook_get_canon_handler") == APR_SUCCESS &&
        apr_dso_sym(&runner.symbol, dso, "proxy_run_canon_handler") == APR_SUCCESS &&
        is_all_httpds(hooks.hooks())) {
        run = runner.run;
        hook.hook(canonical, NULL, NULL, APR_HOOK_REALLY_FIRST);
    }
}

void devcache_canon_child_init(void)
{
    /* Not of a pool, which would write zeros to all of it. It goes with the process. */
    slots = run ? calloc(SLOTS, sizeof *slots) : NULL;
}
