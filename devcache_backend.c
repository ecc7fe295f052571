#include "devcache_backend.h"

#include <httpd.h>
#include <http_connection.h>
#include <util_filter.h>
#include "devcache_clock.h"
#include "devcache_conf.h"
#include "devcache_field.h"
#include "devcache_log.h"

#define NAME "Expires:"
#define LONGEST 128 /* no valid line is longer */

static ap_filter_rec_t *dates_filter;

/* Is this line an Expires whose date RFC 9110, section 5.6.7, does not allow? */
static int is_bad_expires(char *line)
{
    apr_time_t date;

    if (ap_cstr_casecmpn(line, NAME, sizeof NAME - 1)) {
        return 0;
    }
    line += sizeof NAME - 1;
    line += strspn(line, " \t");
    line[strcspn(line, "\r\n")] = '\0';
    return !devcache_field_date(line, devcache_now(), &date);
}

/* A look at the first byte, which tells most lines from ours. */
static int may_be_expires(const apr_bucket_brigade *bb)
{
    apr_bucket *b = APR_BRIGADE_FIRST(bb);
    const char *data;
    apr_size_t len;

    return b != APR_BRIGADE_SENTINEL(bb) &&
           apr_bucket_read(b, &data, &len, APR_BLOCK_READ) == APR_SUCCESS &&
           (len == 0 || (*data | 0x20) == 'e');
}

static apr_status_t dates_in(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                             apr_read_type_e block, apr_off_t readbytes)
{
    apr_status_t rv = ap_get_brigade(f->next, bb, mode, block, readbytes);
    char line[LONGEST];
    apr_size_t len = sizeof line - 1;

    if (rv != APR_SUCCESS || mode != AP_MODE_GETLINE || !may_be_expires(bb) ||
        apr_brigade_flatten(bb, line, &len) != APR_SUCCESS) {
        return rv;
    }
    line[len] = '\0';
    /* A line still without its end is left alone: it may go on with anything. */
    if (memchr(line, '\n', len) && is_bad_expires(line)) {
        apr_brigade_cleanup(bb);
        return apr_brigade_puts(bb, NULL, NULL, "Expires: 0\r\n");
    }
    return APR_SUCCESS;
}

/* Hook pre_connection: connections to backends, where the cache may store the answer. */
static int watch_backend(conn_rec *c, void *socket)
{
    if (c->outgoing && devcache_conf_server(c->base_server)->store) {
        ap_add_input_filter_handle(dates_filter, NULL, NULL, c);
    }
    return OK;
}

void devcache_backend_register(void)
{
    dates_filter = ap_register_input_filter("DEVCACHE_DATES", dates_in, NULL,
                                            AP_FTYPE_CONNECTION);
    ap_hook_pre_connection(watch_backend, NULL, NULL, APR_HOOK_LAST);
}
