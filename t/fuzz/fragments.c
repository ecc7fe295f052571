/* SPDX-License-Identifier: Apache-2.0 */
/* A page with gaps, in each dialect: all of it is read, in order, and nothing twice. */
#include "http/fragments.h"

#include "fuzz.h"

static void must_be_url(const char *url)
{
    for (; url && *url; url++) {
        must((unsigned char)*url > ' ' && *url != 0x7f);
    }
}

static void fuzz(const char *data, size_t len, apr_pool_t *p)
{
    static const unsigned dialects[] = {0, DEVCACHE_SSI, DEVCACHE_ESI,
                                        DEVCACHE_FRAGMENTS};
    size_t i;

    for (i = 0; i < sizeof dialects / sizeof *dialects; i++) {
        devcache_fragments_t page = {devcache_slice(data, len), dialects[i], 0, 0};
        const char *seen = data;
        devcache_fragment_t f;
        devcache_fragment_e what;
        size_t text = 0;

        while ((what = devcache_fragments_next(&page, &f, p)) != DEVCACHE_FRAGMENT_END) {
            must(page.rest.data > seen || (what == DEVCACHE_FRAGMENT_TEXT && f.text.len));
            must(page.rest.data + page.rest.len == data + len);
            if (what == DEVCACHE_FRAGMENT_TEXT) {
                must(f.text.data >= seen && f.text.data + f.text.len <= page.rest.data);
                must(!f.url && f.text.len);
                text += f.text.len;
            } else {
                must(dialects[i] && f.url);
                must_be_url(f.url);
                must_be_url(f.alt);
            }
            seen = page.rest.data;
        }
        must(text <= len && (dialects[i] || text == len));
    }
}
