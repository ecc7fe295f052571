/* SPDX-License-Identifier: Apache-2.0 */
/* What a request field is: "name: value", or a name alone. */
#include "http/ordinary.h"

#include <apr_strings.h>
#include "fuzz.h"

static void fuzz(const char *data, size_t len, apr_pool_t *p)
{
    static const char *names[] = {"X-*", "Test-ID"};
    apr_array_header_t known = {p, sizeof(char *), 2, 2, (char *)names};
    char *name = apr_pstrdup(p, data), *value = strchr(name, ':');
    devcache_field_kind_e without, with;
    const char *why;

    devcache_ordinary_init();
    if (value) {
        *value++ = '\0';
    }
    without = devcache_ordinary_kind(NULL, name, value, &why);
    with = devcache_ordinary_kind(&known, name, value, NULL);
    must(with == without ||
         (without == DEVCACHE_FIELD_UNKNOWN && with == DEVCACHE_FIELD_KNOWN));
    must((without != DEVCACHE_FIELD_FORM && without != DEVCACHE_FIELD_OVERRIDE) ||
         devcache_ordinary_stands_out(name));
    must(without < DEVCACHE_FIELD_FORM || devcache_ordinary_refuses(name) ||
         strchr(name, '*'));
}
