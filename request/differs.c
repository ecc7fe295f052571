/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What differs.
 *
 * Of the variants that a URL has, the one is shown that has the fewest differences to what
 * the request would be given, the newest of those. A visitor's first request with another
 * class differs in that alone, one with another cookie in that one, and both are named.
 * Cookies and credentials are named, never shown.
 */
#include "request/differs.h"

#include <apr_strings.h>
#include "http/cookies.h"
#include "http/field.h"
#include "request/asked.h"
#include "request/fields.h"

#define LOOKED_AT 16 /* variants: each is a read */
#define NAMED 8      /* differences */

typedef struct nearest_t {
    const devcache_exchange_t *x;
    apr_pool_t *p;
    devcache_vary_difference_t odd[NAMED];
    int n;            /* of them; 0: there is none yet */
    const char *form; /* a field that no variant seen compares */
    int compared;     /* one does */
} nearest_t;

static const char *text_of(devcache_slice_t s, apr_pool_t *p)
{
    return s.data ? apr_pstrmemdup(p, s.data, s.len) : NULL;
}

static void look_at(void *baton, const char *spec, devcache_slice_t variant)
{
    nearest_t *near = baton;
    const devcache_exchange_t *x = near->x;
    devcache_vary_difference_t odd[NAMED];
    devcache_slice_t mine;
    int n;

    if (!devcache_fields_may_match(x, spec)) {
        return;
    }
    near->compared = 1;
    mine = devcache_vary_values(&x->vary, spec, x->asked.target, x->device.class,
                                devcache_fields_compared(x, spec, near->p), near->p);
    n = mine.data ? devcache_vary_differences(variant, mine, odd, NAMED, near->p) : 0;
    if (n > 0 && (!near->n || n < near->n)) {
        memcpy(near->odd, odd, sizeof odd);
        for (near->n = 0; near->n < n; near->n++) { /* good during the call only */
            odd[near->n].a.data = text_of(odd[near->n].a, near->p);
            near->odd[near->n].a = odd[near->n].a;
        }
    }
}

/* One difference in words. */
static void tell(const nearest_t *near, const devcache_vary_difference_t *odd,
                 devcache_differs_t *out)
{
    const char *a = text_of(odd->a, near->p), *b = text_of(odd->b, near->p), *name;

    memset(out, 0, sizeof *out);
    out->what = odd->name;
    if (!strcmp(odd->name, "@target")) {
        out->what = devcache_asked_odd(near->x, odd->a, near->p);
    } else if (!strcmp(odd->name, "cookie")) {
        name = devcache_cookies_difference(a, b, near->p);
        out->what = name ? apr_pstrcat(near->p, "cookie ", name, NULL) : "cookies";
    } else if (!devcache_field_is_secret(odd->name)) {
        out->what = strcmp(odd->name, "@device") ? odd->name : "device class";
        out->stored = a;
        out->asked = strcmp(odd->name, "accept-encoding")
                         ? b
                         : devcache_field_combined(near->x->asked.fields,
                                                   "Accept-Encoding", near->p);
    }
}

void devcache_differs_find(request_rec *r, devcache_exchange_t *x)
{
    nearest_t near = {x, r->pool};
    apr_array_header_t *list = apr_array_make(r->pool, 2, sizeof(devcache_differs_t));
    int i;

    devcache_store_show_variants(x->server->store, x->asked.key, look_at, &near,
                                 LOOKED_AT, r->pool);
    for (i = 0; i < near.n; i++) {
        tell(&near, &near.odd[i], apr_array_push(list));
    }
    if (!near.compared && x->asked.forms) {
        devcache_differs_t *form = apr_array_push(list);

        memset(form, 0, sizeof *form);
        form->what = apr_pstrcat(r->pool, "form that ",
                                 APR_ARRAY_IDX(x->asked.forms, 0, const char *),
                                 " asks for", NULL);
    }
    x->found.differs = list;
}

const char *devcache_differs_text(const devcache_exchange_t *x, apr_pool_t *p)
{
    const apr_array_header_t *list = x->found.differs;
    const char *text = NULL;
    int i;

    for (i = 0; list && i < list->nelts; i++) {
        const char *what = APR_ARRAY_IDX(list, i, devcache_differs_t).what;

        text = text ? apr_pstrcat(p, text, i == list->nelts - 1 ? " and " : ", ", what,
                                  NULL)
                    : what;
    }
    return text;
}
