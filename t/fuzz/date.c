/* SPDX-License-Identifier: Apache-2.0 */
/* Dates: whatever is taken for one is the same instant when it is written out again. */
#include "http/field.h"

#include "fuzz.h"

static void fuzz(const char *data, size_t len, apr_pool_t *p)
{
    apr_time_t near = apr_time_from_sec(1782777600), t, again;
    char text[APR_RFC822_DATE_LEN];

    if (devcache_field_date(data, near, &t)) {
        must(t >= apr_time_from_sec(-62167219200LL));
        must(t <= apr_time_from_sec(253402300800LL));
        must(apr_rfc822_date(text, t) == APR_SUCCESS);
        must(t == apr_time_from_sec(253402300800LL) ||
             devcache_field_date(text, near, &again));
        must(t == apr_time_from_sec(253402300800LL) || again == t);
    }
}
