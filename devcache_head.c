#include "devcache_head.h"

#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <util_filter.h>
#include <util_time.h>
#include "devcache_log.h"

/*
 * DEVCACHE_HEAD takes the place of httpd's HTTP_HEADER in the chain of one response:
 * there is always exactly one of the two. It decides when the first bytes come by, as
 * until then any filter may still change the head: then it writes the head, or puts
 * HTTP_HEADER back behind itself, and is gone. An error page that httpd makes in between
 * goes the second way.
 */

#define MAX_FIELDS 60
#define MAX_ADDED 3 /* Connection, Keep-Alive, Content-Type */

typedef struct field_t {
    const char *name, *value;
    apr_size_t name_len, value_len;
} field_t;

typedef struct head_t {
    field_t field[MAX_FIELDS];
    int count;
    const char *date, *server; /* the values among the fields; NULL: none */
} head_t;

static ap_filter_rec_t *head_filter, *http_header;

/* ---- what is ordinary
 * --------------------------------------------------------------------- */

static int has_signal(apr_bucket_brigade *bb)
{
    apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        if (AP_BUCKET_IS_ERROR(b) || AP_BUCKET_IS_EOC(b)) {
            return 1;
        }
    }
    return 0;
}

/* What BrowserMatch and the like ask of httpd's filter. */
static int is_special(const request_rec *r)
{
    return apr_table_get(r->subprocess_env, "force-no-vary") ||
           apr_table_get(r->subprocess_env, "force-response-1.0") ||
           apr_table_get(r->subprocess_env, "downgrade-1.0") ||
           apr_table_get(r->notes, "no-etag");
}

static int is_ordinary(const request_rec *r)
{
    return r->status == HTTP_OK && r->status_line &&
           !strncmp(r->status_line, "200 ", 4) &&
           !*ap_scan_http_field_content(r->status_line) &&
           !(r->content_type && *ap_scan_http_field_content(r->content_type)) &&
           !r->header_only && !r->assbackwards && !r->chunked && !r->no_cache &&
           !r->content_encoding && apr_is_empty_array(r->content_languages) &&
           apr_is_empty_table(r->err_headers_out) && !is_special(r) && !APLOGrtrace3(r);
}

/* A value without control characters? Eight bytes at a time, the last ones twice. */
static int is_clean(const char *s, apr_size_t len)
{
    const apr_uint64_t ones = 0x0101010101010101u, del = ones * 0x7f;
    apr_uint64_t suspect = 0, word;
    apr_size_t at = 0, last = len - sizeof(word);

    if (len < sizeof(word)) {
        return !*ap_scan_http_field_content(s);
    }
    for (;; at = at + sizeof(word) < last ? at + sizeof(word) : last) {
        memcpy(&word, s + at, sizeof(word));
        suspect |= ((word - ones * 0x20) & ~word) |
                   (((word ^ del) - ones) & ~(word ^ del));
        if (at == last) {
            break;
        }
    }
    return !(suspect & (ones << 7)) ||
           !*ap_scan_http_field_content(s); /* tabs are fine */
}

static int is_named(const field_t *f, const char *name, apr_size_t len)
{
    return f->name_len == len && !ap_cstr_casecmpn(f->name, name, len);
}

#define IS_NAMED(f, name) is_named(f, name, sizeof(name) - 1)

static void measure(field_t *f, const char *name, const char *value)
{
    f->name = name;
    f->value = value;
    f->name_len = strlen(name);
    f->value_len = strlen(value);
}

/* All fields, if they can be sent as they are. @a vary has each name once. */
static int collect(head_t *head, const apr_table_t *fields, const char *vary)
{
    const apr_array_header_t *all = apr_table_elts(fields);
    const apr_table_entry_t *e = (const apr_table_entry_t *)all->elts;
    int has_length = 0;

    head->date = head->server = NULL;
    if (all->nelts > MAX_FIELDS - MAX_ADDED) {
        return 0;
    }
    for (head->count = 0; head->count < all->nelts; head->count++) {
        field_t *f = &head->field[head->count];
        measure(f, e[head->count].key, e[head->count].val);
        if (!f->name_len || *ap_scan_http_token(f->name) ||
            !is_clean(f->value, f->value_len) ||
            (IS_NAMED(f, "Vary") && f->value != vary) ||
            IS_NAMED(f, "Transfer-Encoding")) {
            return 0;
        }
        has_length |= IS_NAMED(f, "Content-Length");
        head->date = IS_NAMED(f, "Date") ? f->value : head->date;
        head->server = IS_NAMED(f, "Server") ? f->value : head->server;
    }
    return has_length;
}

/* ---- writing
 * ------------------------------------------------------------------------------ */

static char *put(char *at, const char *s, apr_size_t len)
{
    memcpy(at, s, len);
    return at + len;
}

static apr_size_t field_size(const field_t *f)
{
    return f->name_len + f->value_len + sizeof(": \r\n") - 1;
}

static char *put_field(char *at, const field_t *f)
{
    at = put(at, f->name, f->name_len);
    at = put(at, ": ", 2);
    at = put(at, f->value, f->value_len);
    return put(at, "\r\n", 2);
}

/* What httpd adds to the fields: how the connection goes on, and the type. */
static void complete(request_rec *r, head_t *head)
{
    const char *type = ap_make_content_type(r, r->content_type);
    const apr_array_header_t *all = apr_table_elts(r->headers_out);
    int i;

    ap_set_keepalive(r);
    if (type) {
        apr_table_setn(r->headers_out, "Content-Type", type);
    }
    for (i = 0; i < all->nelts && i < MAX_FIELDS; i++) {
        const apr_table_entry_t *e = &APR_ARRAY_IDX(all, i, apr_table_entry_t);
        if (i >= head->count || head->field[i].value != e->val) {
            measure(&head->field[i], e->key, e->val);
        }
    }
    head->count = i;
}

/* Date and Server of what was proxied are the origin's, all others httpd's own. */
static const char *date_of(request_rec *r, const head_t *head)
{
    char *now;

    if (r->proxyreq != PROXYREQ_NONE && head->date) {
        return head->date;
    }
    now = apr_palloc(r->pool, APR_RFC822_DATE_LEN);
    ap_recent_rfc822_date(now, r->request_time);
    return now;
}

static const char *server_of(request_rec *r, const head_t *head)
{
    return r->proxyreq != PROXYREQ_NONE && head->server ? head->server
                                                        : ap_get_server_banner();
}

static apr_bucket *make_head(request_rec *r, head_t *head, apr_bucket_alloc_t *alloc)
{
    field_t date, server;
    apr_size_t status_len = strlen(r->status_line);
    apr_size_t size = sizeof(AP_SERVER_PROTOCOL " \r\n\r\n") + status_len;
    char *text, *at;
    int i;

    complete(r, head);
    measure(&date, "Date", date_of(r, head));
    measure(&server, "Server", server_of(r, head));
    size += field_size(&date) + field_size(&server);
    for (i = 0; i < head->count; i++) {
        size += field_size(&head->field[i]);
    }
    at = text = apr_palloc(r->pool, size);
    at = put(at, AP_SERVER_PROTOCOL " ", sizeof(AP_SERVER_PROTOCOL " ") - 1);
    at = put(at, r->status_line, status_len);
    at = put(at, "\r\n", 2);
    at = put_field(at, &date);
    if (server.value_len) {
        at = put_field(at, &server);
    }
    for (i = 0; i < head->count; i++) {
        const field_t *f = &head->field[i];
        if (f->value != head->date && f->value != head->server) {
            at = put_field(at, f);
        }
    }
    at = put(at, "\r\n", 2);
    return apr_bucket_pool_create(text, (apr_size_t)(at - text), r->pool, alloc);
}

/* ---- DEVCACHE_HEAD
 * ------------------------------------------------------------------------ */

static apr_status_t head_out(ap_filter_t *f, apr_bucket_brigade *bb)
{
    request_rec *r = f->r;
    devcache_exchange_t *x = f->ctx;
    head_t head;

    if (is_ordinary(r) && collect(&head, r->headers_out, x->vary_shown) &&
        !has_signal(bb)) {
        APR_BRIGADE_INSERT_HEAD(bb, make_head(r, &head, bb->bucket_alloc));
        r->sent_bodyct = 1;
    } else {
        ap_add_output_filter_handle(http_header, NULL, r, r->connection);
    }
    ap_remove_output_filter(f);
    return ap_pass_brigade(f->next, bb);
}

void devcache_head_take(request_rec *r, devcache_exchange_t *x)
{
    ap_filter_t *f = r->output_filters;

    if (r->connection->master) {
        return; /* HTTP/2 has heads of its own */
    }
    while (f && f->frec != http_header) {
        f = f->next;
    }
    if (f && !f->ctx) {
        ap_remove_output_filter(f);
        ap_add_output_filter_handle(head_filter, x, r, r->connection);
    }
}

void devcache_head_init(void)
{
    http_header = ap_get_output_filter_handle("HTTP_HEADER");
}

void devcache_head_register(void)
{
    head_filter = ap_register_output_filter("DEVCACHE_HEAD", head_out, NULL,
                                            AP_FTYPE_PROTOCOL);
}
