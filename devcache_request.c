#include "devcache_request.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <http_ssl.h>
#include "devcache_ahead.h"
#include "devcache_clock.h"
#include "devcache_field.h"
#include "devcache_log.h"
#include "devcache_stats.h"

extern module AP_MODULE_DECLARE_DATA devcache_module;

#define MEMO_SLOTS 16384 /* 8 bytes each, per child */

static devcache_device_memo_t *memo; /* of this child; NULL before child_init */

static const char *const viewer_fields[] = {
    "CloudFront-Is-Desktop-Viewer",
    "CloudFront-Is-Mobile-Viewer",
    "CloudFront-Is-Tablet-Viewer",
    "CloudFront-Is-SmartTV-Viewer",
};
static const char *const viewer_classes[] = {"pc", "mobile", "tablet", "tv"};

#define VIEWER_FIELDS (sizeof viewer_fields / sizeof viewer_fields[0])

void devcache_request_child_init(apr_pool_t *pchild)
{
    memo = devcache_device_memo_create(pchild, MEMO_SLOTS);
}

request_rec *devcache_request_first(request_rec *r)
{
    while (r->main || r->prev) {
        r = r->main ? r->main : r->prev;
    }
    return r;
}

devcache_exchange_t *devcache_request_exchange(request_rec *r)
{
    request_rec *at;

    for (at = r; at; at = at->prev) {
        devcache_exchange_t *x = ap_get_module_config(at->request_config,
                                                      &devcache_module);
        if (x) {
            return x;
        }
    }
    return NULL;
}

/* ---- classification ------------------------------------------------------------------
 */

/* Remove every spelling of a field from the client's request. */
static void strip_field(request_rec *r, const char *name)
{
    const apr_array_header_t *all = apr_table_elts(r->headers_in);
    apr_size_t size = strlen(name) + 1;
    char first = devcache_field_lower_char(*name);
    int letter = first >= 'a' && first <= 'z'; /* in both spellings; '-' may be '_' */
    int i;

    for (i = 0; i < all->nelts; i++) {
        const char *key = APR_ARRAY_IDX(all, i, apr_table_entry_t).key;
        if (letter && devcache_field_lower_char(*key) != first) {
            continue;
        }
        if (devcache_field_same_variable(key, name, size)) {
            ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                          DCLOGNO(0101) "classify: removed the client's own %s", key);
            devcache_stats_count(DEVCACHE_COUNT_spoofed);
            apr_table_unset(r->headers_in, key);
            i = -1; /* the table has moved */
        }
    }
}

/* A client that names our field in Connection would have mod_proxy remove it on its way
 * to the origin: drop that member, keep the others. */
static void protect_from_connection(request_rec *r, const char *name)
{
    const char *value = apr_table_get(r->headers_in, "Connection");
    const char *kept = NULL, *token;

    if (!value) {
        return;
    }
    value = apr_table_getm(r->pool, r->headers_in, "Connection");
    if (!ap_strcasestr(value, name)) {
        return;
    }
    while ((token = ap_get_list_item(r->pool, &value))) {
        if (ap_cstr_casecmp(token, name)) {
            kept = kept ? apr_pstrcat(r->pool, kept, ", ", token, NULL) : token;
        }
    }
    apr_table_unset(r->headers_in, "Connection");
    if (kept) {
        apr_table_setn(r->headers_in, "Connection", kept);
    }
}

static void set_class_field(request_rec *r, const char *name, const char *value)
{
    strip_field(r, name);
    protect_from_connection(r, name);
    apr_table_addn(r->headers_in, name, value);
}

static void tell_environment(request_rec *r, const devcache_exchange_t *x)
{
    apr_table_setn(r->subprocess_env, "DEVCACHE_DEVICE", x->device.klass);
    apr_table_setn(r->notes, "devcache-device", x->device.klass);
}

static void tell_viewer_fields(request_rec *r, const devcache_exchange_t *x)
{
    apr_size_t i;

    for (i = 0; i < VIEWER_FIELDS; i++) {
        /* By kind as well: a TV folded to pc is still a TV to who asks for TVs. */
        int is = !strcmp(viewer_classes[i], x->device.klass) ||
                 !strcmp(viewer_classes[i], x->device.kind);
        set_class_field(r, viewer_fields[i], is ? "true" : "false");
    }
}

/* What the classifier wants of the client's header, in one walk: browsers send a dozen
 * fields, half of which begin with "Sec-". Of several lines the first counts. */
static void read_client(const apr_table_t *headers, devcache_device_input_t *in)
{
    const apr_array_header_t *all = apr_table_elts(headers);
    const char **wanted;
    int i;

    memset(in, 0, sizeof *in);
    for (i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *e = &APR_ARRAY_IDX(all, i, apr_table_entry_t);
        switch (devcache_field_lower_char(*e->key)) {
        case 'u':
            wanted = !strcasecmp(e->key, "User-Agent") ? &in->user_agent : NULL;
            break;
        case 'c':
            wanted = !strcasecmp(e->key, "Cookie") ? &in->cookie : NULL;
            break;
        case 's':
            wanted = strncasecmp(e->key, "Sec-CH-UA-", 10)      ? NULL
                     : !strcasecmp(e->key + 10, "Mobile")       ? &in->ch_mobile
                     : !strcasecmp(e->key + 10, "Platform")     ? &in->ch_platform
                     : !strcasecmp(e->key + 10, "Form-Factors") ? &in->ch_form_factors
                                                                : NULL;
            break;
        default:
            continue;
        }
        if (wanted && !*wanted) {
            *wanted = e->val;
        }
    }
}

int devcache_request_classify(request_rec *r)
{
    devcache_server_t *server = devcache_conf_server(r->server);
    devcache_exchange_t *x;
    devcache_device_input_t in;

    if (!server->device && !server->store) {
        return DECLINED;
    }
    if ((x = devcache_request_exchange(r))) { /* an internal redirect */
        if (server->device) {
            tell_environment(r, x);
        }
        return DECLINED;
    }
    x = apr_pcalloc(r->pool, sizeof *x);
    x->now = devcache_now();
    x->age = -1;
    x->expect = -1;
    x->overrides = devcache_policy_overrides(r->headers_in, r->pool);
    ap_set_module_config(r->request_config, &devcache_module, x);
    if (!server->device) {
        x->device.klass = "-"; /* DevCacheClassify Off: a cache without devices */
        return DECLINED;
    }

    read_client(r->headers_in, &in);
    devcache_device_classify_memo(server->device, memo, &in, &x->device);
    devcache_stats_count(DEVCACHE_COUNT_classified);
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  DCLOGNO(0102) "classify: %s (kind %s, by %s)", x->device.klass,
                  x->device.kind, x->device.rule);

    if (server->vary.device_header) {
        set_class_field(r, server->vary.device_header, x->device.klass);
    }
    if (devcache_server_viewer_headers(server)) {
        tell_viewer_fields(r, x);
    }
    tell_environment(r, x);
    return DECLINED;
}

int devcache_request_capture(request_rec *r)
{
    devcache_exchange_t *x = ap_get_module_config(r->request_config, &devcache_module);

    if (x && !x->path) {
        x->path = apr_pstrdup(r->pool, r->uri);
        x->query = r->parsed_uri.query ? r->parsed_uri.query : r->args;
    }
    return DECLINED;
}

/* ---- key and target
 * -------------------------------------------------------------------- */

/* The port this connection came in on: virtual hosts are told apart by it, and what the
 * client wrote in Host is not ours to trust. */
static unsigned local_port(request_rec *r)
{
    return r->connection->local_addr ? r->connection->local_addr->port : 0;
}

devcache_slice_t devcache_request_key_of(request_rec *r, const devcache_query_t *rule,
                                         const char *path, const char *query,
                                         apr_pool_t *p)
{
    const char *host = r->hostname ? r->hostname : r->server->server_hostname;

    return devcache_vary_key(ap_http_scheme(r), host, local_port(r), path,
                             devcache_query_canonical(rule, query, p), p);
}

const char *devcache_request_origin(request_rec *r)
{
    const char *host = apr_table_get(r->headers_in, "Host");

    if (!host) {
        host = r->hostname ? r->hostname : r->server->server_hostname;
    }
    host = apr_pstrdup(r->pool, host);
    ap_str_tolower((char *)host);
    return apr_pstrcat(r->pool, ap_http_scheme(r), "://", host, NULL);
}

/* Exactly this port, as one writes it. */
static int is_port(const char *text, unsigned port)
{
    unsigned n = 0;

    if (*text == '0') {
        return 0;
    }
    for (; *text >= '0' && *text <= '9' && n <= port; text++) {
        n = n * 10 + (unsigned)(*text - '0');
    }
    return *text == '\0' && n == port;
}

/* The Host field where it says more than host and port of the key: a foreign port, none
 * where the scheme's own is not meant, a trailing dot; or where it says nothing, as in
 * HTTP/1.0. Origins put it into links, so it must not be shared. */
static const char *odd_host(request_rec *r)
{
    const char *host = apr_table_get(r->headers_in, "Host");
    apr_size_t len = r->hostname ? strlen(r->hostname) : 0;
    unsigned port = local_port(r);
    char *odd;

    if (!host || !*host) {
        return " "; /* like none that there is */
    }
    if (len && !ap_cstr_casecmpn(host, r->hostname, len) &&
        (host[len] ? host[len] == ':' && is_port(host + len + 1, port)
                   : port == ap_default_port(r))) {
        return "";
    }
    odd = apr_pstrdup(r->pool, host);
    ap_str_tolower(odd);
    return odd;
}

/* Fields of a target, each with its length before it, so that no part can imitate
 * another's end. */
static devcache_slice_t join(const devcache_slice_t *parts, int n, apr_pool_t *p)
{
    devcache_writer_t w = {NULL, 0};
    apr_size_t bytes = 0;
    int i;

    for (i = 0; i < n; i++) {
        bytes += 4 + parts[i].len;
    }
    w.buf = apr_palloc(p, bytes);
    for (i = 0; i < n; i++) {
        devcache_put_slice(&w, parts[i]);
    }
    return devcache_slice(w.buf, w.len);
}

/* Values of the headers that the administrator has put into the key. */
static devcache_slice_t key_values(const apr_table_t *fields,
                                   const apr_array_header_t *names, apr_pool_t *p)
{
    devcache_slice_t *values;
    int i;

    if (!names) {
        return devcache_slice(NULL, 0);
    }
    values = apr_palloc(p, (apr_size_t)names->nelts * sizeof *values);
    for (i = 0; i < names->nelts; i++) {
        values[i] = devcache_slice_str(
            apr_table_getm(p, fields, APR_ARRAY_IDX(names, i, const char *)));
    }
    return join(values, names->nelts, p);
}

enum {
    HANDLER,
    FILE_NAME,
    PATH_INFO,
    ARGS,
    VIRTUAL_HOST,
    ODD_HOST,
    KEY_VALUES,
    SPELLING, /* these two: not there at all where they, or the last, say nothing */
    AHEAD,
    PARTS
};

/* The path as the client wrote it, where that is not how the key has it ("//", "%70",
 * "/x/.."). Scripts and applications are given it (REQUEST_URI), and may answer for
 * another page than the one that httpd found. A backend by HTTP sees what is in the file
 * name. */
static devcache_slice_t odd_spelling(const request_rec *r, const char *path,
                                     const char *target)
{
    const char *sent = r->unparsed_uri ? r->unparsed_uri : "";
    apr_size_t len = strcspn(sent, "?");

    if ((len == strlen(path) && !memcmp(sent, path, len)) ||
        !strncmp(target, "proxy:http", 10) || !strncmp(target, "proxy:h2", 8)) {
        return devcache_slice(NULL, 0);
    }
    return devcache_slice(sent, len);
}

/* The handler and the file or URL that it will ask for, after rewriting: two requests
 * with one URL but different targets (a RewriteCond on a cookie, say) are never one
 * variant. */
static void rewritten(request_rec *r, const char *sent, const devcache_query_t *rule,
                      devcache_slice_t *out)
{
    if (strcmp(r->args ? r->args : "", sent ? sent : "")) {
        rule = NULL; /* rewriting made it: it says what is asked for, all of it */
    }
    out[HANDLER] = devcache_slice_str(r->handler);
    out[FILE_NAME] = devcache_slice_str(r->filename ? r->filename : "");
    out[PATH_INFO] = devcache_slice_str(r->path_info ? r->path_info : "");
    out[ARGS] = devcache_slice_str(devcache_query_canonical(rule, r->args, r->pool));
    if (rule && rule->mode != DEVCACHE_QUERY_KEEP &&
        !strncmp(out[FILE_NAME].data, "proxy:", 6)) {
        out[FILE_NAME].len = strcspn(out[FILE_NAME].data, "?"); /* it is repeated there */
    }
}

/* The same of the request that rewriting in a directory has come to in the end. */
static devcache_slice_t arrived(request_rec *last, const devcache_exchange_t *x,
                                const devcache_query_t *rule)
{
    devcache_slice_t parts[ARGS + 1];

    rewritten(last, x->query, rule, parts);
    return join(parts, ARGS + 1, last->pool);
}

int devcache_request_is_foreseen(request_rec *r, const devcache_exchange_t *x)
{
    const devcache_query_t *rule = devcache_dir_query(x->dir);

    return !x->ahead ||
           devcache_slice_eq(arrived(r, x, rule), arrived(x->ahead, x, rule));
}

devcache_slice_t devcache_request_target(request_rec *r, const devcache_exchange_t *x,
                                         const devcache_query_t *rule)
{
    const devcache_dir_t *dir = devcache_conf_dir(r);
    devcache_slice_t parts[PARTS] = {{NULL, 0}};
    int n;

    if (devcache_dir_quick(dir)) {
        /* Its hits come before rewriting, which cannot count then. No file name: so it
         * is like no target of the other kind. */
        parts[HANDLER] = devcache_slice_str("quick");
    } else {
        rewritten(r, r->parsed_uri.query, rule, parts);
    }
    parts[VIRTUAL_HOST] = devcache_conf_server(r->server)->identity;
    parts[ODD_HOST] = devcache_slice_str(odd_host(r));
    parts[KEY_VALUES] = key_values(x->fields, devcache_dir_key_headers(dir), r->pool);
    parts[SPELLING] = odd_spelling(r, x->path,
                                   parts[FILE_NAME].data ? parts[FILE_NAME].data : "");
    if (x->ahead) {
        parts[AHEAD] = arrived(x->ahead, x, rule);
    }
    for (n = PARTS; n > SPELLING && !parts[n - 1].data; n--) {
    }
    return join(parts, n, r->pool);
}

static int has_body(request_rec *r)
{
    const char *length = apr_table_get(r->headers_in, "Content-Length");

    return apr_table_get(r->headers_in, "Transfer-Encoding") ||
           (length && strcmp(length, "0"));
}

void devcache_request_name_handler(request_rec *r)
{
    if (r->handler) {
        return;
    }
    r->handler = AP_DEFAULT_HANDLER_NAME;
    if (r->content_type && AP_REQUEST_IS_TRUSTED_CT(r)) {
        apr_size_t len = strcspn(r->content_type, ";");

        while (len && r->content_type[len] && r->content_type[len - 1] == ' ') {
            len--;
        }
        r->handler = apr_pstrmemdup(r->pool, r->content_type, len);
    }
}

/* Has the client shown a certificate, be it a bad one that is put up with? Then it may be
 * known to the origin, by headers and variables that say so, as a user would be. */
static int shows_certificate(request_rec *r)
{
    const char *verified = ap_ssl_var_lookup(r->pool, r->server, r->connection, r,
                                             "SSL_CLIENT_VERIFY");

    return verified && *verified && strcmp(verified, "NONE");
}

/* DevCacheNormalize: the origin sees no more of these headers than the key does. */
static apr_table_t *normalised(apr_table_t *fields, const apr_array_header_t *rules,
                               apr_pool_t *p)
{
    apr_table_t *out = rules && rules->nelts ? apr_table_copy(p, fields) : fields;
    int i;

    for (i = 0; rules && i < rules->nelts; i++) {
        const devcache_normal_t *n = &APR_ARRAY_IDX(rules, i, devcache_normal_t);
        const char *value = apr_table_getm(p, out, n->header);

        if (value && (value = devcache_normal_value(n, value))) {
            apr_table_setn(out, n->header, value);
        } else {
            apr_table_unset(out, n->header);
        }
    }
    return out;
}

/* Where rewriting in a directory leads; it will see what the origin does. */
static request_rec *look_ahead(request_rec *r, devcache_exchange_t *x)
{
    request_rec *last;

    r->headers_in = x->fields;
    last = devcache_ahead_look(r);
    r->headers_in = x->own_fields;
    return last;
}

int devcache_request_prepare(request_rec *r, devcache_exchange_t *x)
{
    const ap_expr_info_t *bypass = devcache_dir_bypass(x->dir);
    const devcache_query_t *rule = devcache_dir_query(x->dir);
    const char *error = NULL;

    devcache_conf_policy(x->dir, &x->policy);
    x->vary = x->server->vary;
    x->vary.by_device = devcache_dir_vary_device(x->dir) && x->server->device;
    x->vary.user_agent_exact = devcache_dir_user_agent_exact(x->dir);
    devcache_policy_request(&x->policy, r->method, r->headers_in, x->overrides,
                            has_body(r), &x->req);
    if (r->user || shows_certificate(r)) {
        x->req.authorization = 1; /* however they have shown who they are */
    }
    x->reason = x->req.bypass;
    if (!x->reason && bypass && ap_expr_exec(r, bypass, &error) != 0) {
        /* An expression that cannot be evaluated means the origin, as on any doubt. */
        x->reason = DEVCACHE_REASON_BYPASS;
    }
    x->key = devcache_request_key_of(r, rule, x->path, x->query, r->pool);
    x->own_fields = r->headers_in;
    x->fields = normalised(r->headers_in, devcache_dir_normals(x->dir), r->pool);
    if (!x->reason && devcache_ahead_needed(r) && !devcache_dir_quick(x->dir) &&
        !(x->ahead = look_ahead(r, x))) {
        x->reason = DEVCACHE_REASON_REDIRECTED;
    }
    if (x->reason) {
        return 0;
    }
    if (x->req.is_head) {
        apr_table_unset(x->fields, "Range"); /* RFC 9110 section 14.2 */
        apr_table_unset(x->own_fields, "Range");
    }
    x->target = devcache_request_target(r, x, rule);
    return 1;
}

/* ---- states
 * ------------------------------------------------------------------------------ */

/*            to: IDLE FETCH VALIDATE CONFIRMED RETRY SERVED
 * IDLE            -   serve   serve      -       -   serve (hit)
 * FETCH         save    -       -        -       -     -
 * VALIDATE      save  save      -  save, serve  save save (stale on error)
 * CONFIRMED       -     -       -        -       -   save
 * RETRY           -   serve     -        -       -     -
 * The names are of the file whose function takes the step. FETCH to IDLE: decided, the
 * response is on its way (and perhaps to the store). SERVED is the end. */
static const unsigned char allowed[][6] = {
    [DEVCACHE_PHASE_IDLE] = {0, 1, 1, 0, 0, 1},
    [DEVCACHE_PHASE_FETCH] = {1, 0, 0, 0, 0, 0},
    [DEVCACHE_PHASE_VALIDATE] = {1, 1, 0, 1, 1, 1},
    [DEVCACHE_PHASE_CONFIRMED] = {0, 0, 0, 0, 0, 1},
    [DEVCACHE_PHASE_RETRY] = {0, 1, 0, 0, 0, 0},
    [DEVCACHE_PHASE_SERVED] = {0, 0, 0, 0, 0, 0},
};

void devcache_request_step(request_rec *r, devcache_exchange_t *x, devcache_phase_e to)
{
    static const char *const names[] = {"IDLE",      "FETCH", "VALIDATE",
                                        "CONFIRMED", "RETRY", "SERVED"};

    ap_assert(allowed[x->phase][to]);
    ap_log_rerror(APLOG_MARK, APLOG_TRACE1, 0, r, "%s: %s -> %s",
                  devcache_vary_key_url(x->key, r->pool), names[x->phase], names[to]);
    x->phase = to;
}

/* ---- the access log
 * ------------------------------------------------------------------------ */

int devcache_request_log(request_rec *r)
{
    devcache_exchange_t *x = devcache_request_exchange(r);
    request_rec *last = r;

    if (!x || !x->dir) {
        return DECLINED;
    }
    while (last->next) { /* the log modules read the environment of the last one */
        last = last->next;
    }
    apr_table_setn(last->subprocess_env, "DEVCACHE_STATUS",
                   devcache_meter_outcome(x->outcome));
    apr_table_setn(last->subprocess_env, "DEVCACHE_REASON",
                   devcache_policy_reason(x->reason));
    if (x->age >= 0) {
        apr_table_setn(last->subprocess_env, "DEVCACHE_AGE",
                       apr_psprintf(r->pool, "%" APR_TIME_T_FMT, apr_time_sec(x->age)));
    }
    return DECLINED;
}
