/* SPDX-License-Identifier: Apache-2.0 */
/* Links for early hints. */
#include "http/links.h"

#include <apr_general.h>
#include <apr_strings.h>
#include "tap.h"

int main(void)
{
    static const struct {
        const char *link, *want;
    } t[] = {
        {"</a>; rel=preload", "</a>; rel=preload"},
        {"</a>;rel=\"preload\";as=style , </b>; rel=next",
         "</a>;rel=\"preload\";as=style "},
        {"</b>; rel=next,</a,b>; as=font; REL = Preload",
         "</a,b>; as=font; REL = Preload"},
        {"</a>; title=\"x, y; rel=preload\"; rel=next", NULL},
        {"</a>; title=\"x, y\"; rel=preconnect", "</a>; title=\"x, y\"; rel=preconnect"},
        {"</a>; rel=\"next modulepreload\"", "</a>; rel=\"next modulepreload\""},
        {"</a>; rel=next; rel=preload", NULL},
        {"</a>; rel=preloads", NULL},
        {"</a>; relation=preload", NULL},
        {"/a; rel=preload", NULL},
        {"</a; rel=preload", NULL},
        {"</a>; rel=\"preload", NULL},
        {"</a>", NULL},
        {"<", NULL},
        {",,", NULL},
        {"", NULL},
    };
    apr_table_t *fields;
    apr_pool_t *p;
    apr_size_t i;

    apr_initialize();
    apr_pool_create(&p, NULL);
    fields = apr_table_make(p, 4);
    is_str(devcache_links_early(fields, p), NULL, "no field");
    for (i = 0; i < sizeof t / sizeof *t; i++) {
        apr_table_clear(fields);
        apr_table_setn(fields, "Link", t[i].link);
        is_str(devcache_links_early(fields, p), t[i].want, t[i].link);
    }
    for (i = 0; i < 40; i++) {
        apr_table_addn(fields, "link",
                       apr_psprintf(p, "</%d>; rel=preload", (int)(10 + i)));
    }
    ok(strlen(devcache_links_early(fields, p)) < 400, "no more than 16 of 40");
    apr_table_clear(fields);
    apr_table_addn(fields, "Link",
                   apr_psprintf(p, "</%05000d>; rel=preload, </a>; rel=preload", 1));
    is_str(devcache_links_early(fields, p), "</a>; rel=preload", "none that is too long");
    return done_testing();
}
