/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request that outlives the one it was made from.
 *
 * It has a connection of its own, which is a copy of the client's with another pool,
 * other filters, and no socket that leads anywhere. While hooks run the copy still has
 * the client's connection configuration, so that mod_ssl and others see what they saw for
 * the client; that is in the client's thread, while its connection lives. Before the
 * request changes threads it gets an empty one.
 *
 *     client's thread     pool, connection, request, hooks .......... push
 *     background thread                                   handler, cleanup
 *
 * What its pool holds was allocated for it: the directory configuration, what modules
 * keep in the request. Tables and addresses are copied with their strings.
 *
 * Threads are few, and so are requests that wait for one: a refresh that is not begun is
 * no loss, as the next stale answer begins it. When the child ends, those that wait are
 * not begun, and those that run are waited for, as httpd waits for requests: their
 * backend's time-out bounds it.
 */
#include "request/background.h"

#include <ap_mpm.h>
#include <apr_strings.h>
#include <apr_thread_pool.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <http_ssl.h>
#include <unistd.h>
#include <util_filter.h>
#include "base/fault.h"
#include "base/process.h"
#include "mod_devcache.h"
#include "request/asked.h"
#include "request/request.h"

#define THREADS 4        /* of a child */
#define EVENT_STATE 4096 /* bytes, more than mpm_event has for a connection: about 200 */
#define WAITING 64       /* requests that wait for one of them, of a child */

typedef struct job_t {
    request_rec *own;
    devcache_background_fn *fn;
    void *baton;
    int taken; /* by the thread that runs it, or by who could not hand it over */
} job_t;

/* The visitor's connection, of which nothing else is left: in our connections' config. */
typedef struct visit_t {
    const char *scheme;
    unsigned short port; /* the scheme's own */
    int is_tls;
} visit_t;

static ap_filter_rec_t *sink_filter, *nothing_filter;
static apr_thread_pool_t *threads; /* of this child; NULL: no threads */
static apr_socket_t *dummy;        /* leads nowhere; for modules that look at it */
static apr_uint32_t under_way;     /* jobs that wait or run */
static apr_uint32_t ending;
static module *event;  /* mpm_event; NULL: another one */
static int no_threads; /* it is one of another httpd than this was compiled for */

/* ---- the connection that is none -------------------------------------------------- */

static apr_status_t sink(ap_filter_t *f, apr_bucket_brigade *bb)
{
    apr_brigade_cleanup(bb);
    return APR_SUCCESS;
}

static apr_status_t nothing(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                            apr_read_type_e block, apr_off_t readbytes)
{
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(f->c->bucket_alloc));
    return APR_SUCCESS;
}

static const visit_t *visit_of(const conn_rec *c)
{
    return ap_get_module_config(c->conn_config, &devcache_module);
}

static const char *scheme(const request_rec *r)
{
    const visit_t *visit = visit_of(r->connection);

    return visit ? visit->scheme : NULL;
}

static unsigned short default_port(const request_rec *r)
{
    const visit_t *visit = visit_of(r->connection);

    return visit ? visit->port : 0;
}

static int is_tls(conn_rec *c)
{
    const visit_t *visit = visit_of(c);

    return visit && visit->is_tls ? OK : DECLINED;
}

/* As mod_ssl does, also behind internal redirects: it knows nothing of such connections. */
static int tell_tls(request_rec *r)
{
    if (is_tls(r->connection) != OK) {
        return DECLINED;
    }
    apr_table_setn(r->subprocess_env, "HTTPS", "on");
    return OK;
}

void devcache_background_register(void)
{
    ap_hook_http_scheme(scheme, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_default_port(default_port, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_ssl_conn_is_ssl(is_tls, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_fixups(tell_tls, NULL, NULL, APR_HOOK_MIDDLE);
    sink_filter = ap_register_output_filter("DEVCACHE_SINK", sink, NULL,
                                            AP_FTYPE_NETWORK);
    nothing_filter = ap_register_input_filter("DEVCACHE_NOTHING", nothing, NULL,
                                              AP_FTYPE_NETWORK);
}

/* mod_cgid's daemon knows scripts by it: two at once must not have the same. */
static long own_id(void)
{
    static apr_uint32_t last;

    return -(long)(((unsigned long)getpid() << 32) |
                   __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED));
}

ap_conf_vector_t *devcache_background_copy_config(ap_conf_vector_t *of, apr_pool_t *p)
{
    ap_conf_vector_t *to = ap_create_conn_config(p);
    module *m;

    for (m = ap_top_module; m; m = m->next) {
        ap_set_module_config(to, m, ap_get_module_config(of, m));
    }
    return to;
}

void devcache_background_lead_nowhere(conn_rec *c)
{
    c->input_filters = NULL;
    c->output_filters = NULL;
    ap_add_output_filter_handle(sink_filter, NULL, NULL, c);
    ap_add_input_filter_handle(nothing_filter, NULL, NULL, c);
}

conn_rec *devcache_background_connection(const conn_rec *of, apr_pool_t *p)
{
    conn_rec *c = apr_pmemdup(p, of, sizeof *c);

    c->pool = p;
    c->id = own_id();
    c->conn_config = devcache_background_copy_config(of->conn_config, p);
    c->bucket_alloc = apr_bucket_alloc_create(p);
    c->notes = apr_table_make(p, 2);
    c->sbh = NULL;
    c->cs = NULL;
    c->data_in_input_filters = c->data_in_output_filters = 0;
    c->aborted = 0;
    c->keepalive = AP_CONN_CLOSE;
    c->keepalives = 0;
    c->log = NULL;
    c->log_id = of->log_id ? apr_pstrdup(p, of->log_id) : NULL;
    c->client_ip = apr_pstrdup(p, of->client_ip);
    c->local_ip = apr_pstrdup(p, of->local_ip);
    c->remote_host = c->remote_logname = c->local_host = NULL;
    c->double_reverse = 0;
    apr_sockaddr_info_copy(&c->client_addr, of->client_addr, p);
    apr_sockaddr_info_copy(&c->local_addr, of->local_addr, p);
    devcache_background_lead_nowhere(c);
    return c;
}

/* What mpm_event keeps for a connection: it notes the server there, also of internal
 * redirects. A thread of ours has none, and is given zeros in its place; where it runs in
 * the client's own thread the client's will do. */
static void *event_state(const conn_rec *c)
{
    return threads ? apr_pcalloc(c->pool, EVENT_STATE)
                   : ap_get_module_config(c->conn_config, event);
}

void devcache_background_pretend(conn_rec *c, int tls)
{
    visit_t *visit = apr_palloc(c->pool, sizeof *visit);

    visit->scheme = tls ? "https" : "http";
    visit->port = tls ? DEFAULT_HTTPS_PORT : DEFAULT_HTTP_PORT;
    visit->is_tls = tls;
    ap_set_module_config(c->conn_config, &devcache_module, visit);
}

/* The PROXY protocol's address lies in the pool of the client's connection. */
static void own_address(request_rec *own)
{
    own->useragent_ip = apr_pstrdup(own->pool, own->useragent_ip);
    apr_sockaddr_info_copy(&own->useragent_addr, own->useragent_addr, own->pool);
}

void devcache_background_detach(request_rec *own)
{
    conn_rec *c = own->connection;
    visit_t *visit = apr_palloc(c->pool, sizeof *visit);
    void *state = event ? event_state(c) : NULL;

    visit->scheme = ap_http_scheme(own);
    visit->port = ap_default_port(own);
    visit->is_tls = ap_ssl_conn_is_ssl(c);
    c->conn_config = ap_create_conn_config(c->pool);
    ap_set_core_module_config(c->conn_config, dummy);
    if (event) {
        ap_set_module_config(c->conn_config, event, state);
    }
    ap_set_module_config(c->conn_config, &devcache_module, visit);
    c->master = NULL;
    own_address(own);
}

/* ---- the request ---------------------------------------------------------------- */

apr_pool_t *devcache_background_pool(void)
{
    apr_allocator_t *allocator;
    apr_pool_t *p;

    if (apr_allocator_create(&allocator) != APR_SUCCESS) {
        return NULL;
    }
    if (apr_pool_create_ex(&p, NULL, NULL, allocator) != APR_SUCCESS) {
        apr_allocator_destroy(allocator);
        return NULL;
    }
    apr_allocator_owner_set(allocator, p);
    apr_pool_tag(p, "devcache_background");
    return p;
}

/* What was asked for, before anything decoded it. */
static const char *uri_of(const request_rec *r, apr_pool_t *p)
{
    if (r->unparsed_uri && *r->unparsed_uri == '/') {
        return apr_pstrdup(p, r->unparsed_uri);
    }
    return apr_pstrcat(p, r->parsed_uri.path, r->parsed_uri.query ? "?" : NULL,
                       r->parsed_uri.query, NULL);
}

static request_rec *request_for(request_rec *r, const conn_rec *of, const char *uri,
                                const apr_table_t *fields, const apr_table_t *environment,
                                apr_pool_t *p)
{
    request_rec *own = ap_create_request(devcache_background_connection(of, p));

    own->server = r->server;
    own->per_dir_config = r->server->lookup_defaults;
    own->method = "GET";
    own->method_number = M_GET;
    own->protocol = apr_pstrdup(own->pool, "HTTP/1.1");
    own->proto_num = HTTP_VERSION(1, 1);
    own->request_time = apr_time_now();
    own->hostname = r->hostname ? apr_pstrdup(own->pool, r->hostname) : NULL;
    own->useragent_ip = r->useragent_ip;
    own->useragent_addr = r->useragent_addr;
    own->headers_in = apr_table_clone(own->pool, fields);
    own->subprocess_env = apr_table_clone(own->pool, environment);
    ap_parse_uri(own, uri);
    own->the_request = apr_pstrcat(own->pool, "GET ", own->unparsed_uri, " HTTP/1.1",
                                   NULL);
    return own;
}

request_rec *devcache_background_request(request_rec *r, const apr_table_t *fields,
                                         apr_pool_t *p)
{
    request_rec *own = request_for(r, r->connection, uri_of(r, p), fields,
                                   r->subprocess_env, p);

    own->user = r->user ? apr_pstrdup(own->pool, r->user) : NULL;
    own->ap_auth_type = r->ap_auth_type ? apr_pstrdup(own->pool, r->ap_auth_type) : NULL;
    return own;
}

request_rec *devcache_background_part(request_rec *r, const conn_rec *of, const char *uri,
                                      const apr_table_t *fields,
                                      const apr_table_t *environment, apr_pool_t *p)
{
    return request_for(r, of, apr_pstrdup(p, uri), fields, environment, p);
}

int devcache_background_prepare(request_rec *own)
{
    int rv = own->status == HTTP_OK ? ap_process_request_internal(own) : own->status;

    if (rv == OK) {
        devcache_asked_name_handler(own);
    }
    return rv;
}

int devcache_background_has_threads(void)
{
    return threads != NULL;
}

/* ---- threads -------------------------------------------------------------------- */

int devcache_background_is_ending(void)
{
    return __atomic_load_n(&ending, __ATOMIC_SEQ_CST) != 0;
}

static int claim_job(job_t *job)
{
    return !__atomic_exchange_n(&job->taken, 1, __ATOMIC_SEQ_CST);
}

static void *APR_THREAD_FUNC run_job(apr_thread_t *self, void *data)
{
    job_t *job = data;
    apr_pool_t *p = job->own->connection->pool;

    if (claim_job(job)) {
        job->own->connection->current_thread = self;
        job->fn(job->own, job->baton);
        apr_pool_destroy(p);
        __atomic_sub_fetch(&under_way, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

/* Give it to a thread, or run it here where there are none. Where no thread could be
 * started the pool of them reports an error but keeps the job, and one that runs already
 * may have it by now. */
static int hand_over_job(job_t *job)
{
    apr_status_t rv;

    if (!threads) {
        run_job(job->own->connection->current_thread, job);
        return 1;
    }
    rv = apr_thread_pool_push(threads, run_job, job, APR_THREAD_TASK_PRIORITY_NORMAL,
                              job);
    if (rv == APR_SUCCESS && !DEVCACHE_FAULT("background-push")) {
        return 1;
    }
    if (!claim_job(job)) {
        return 1;
    }
    apr_thread_pool_tasks_cancel(threads, job);
    return 0;
}

int devcache_background_run(request_rec *own, devcache_background_fn *fn, void *baton)
{
    job_t *job = apr_pcalloc(own->pool, sizeof *job);

    job->own = own;
    job->fn = fn;
    job->baton = baton;
    /* Count the job first: either end_threads() waits for it, or we see `ending` and
     * back out. */
    if (__atomic_add_fetch(&under_way, 1, __ATOMIC_SEQ_CST) <= THREADS + WAITING &&
        !devcache_background_is_ending()) {
        devcache_background_detach(own);
        if (hand_over_job(job)) {
            return 1;
        }
    }
    __atomic_sub_fetch(&under_way, 1, __ATOMIC_SEQ_CST);
    return 0;
}

void devcache_background_run_here(request_rec *own, devcache_background_fn *fn,
                                  void *baton)
{
    apr_thread_t *self = own->connection->current_thread;

    devcache_background_detach(own);
    own->connection->current_thread = self;
    fn(own, baton);
}

/* Before the child's pools go, which the handlers use. */
static apr_status_t end_threads(void *data)
{
    __atomic_store_n(&ending, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&under_way, __ATOMIC_SEQ_CST) > 0) {
        apr_sleep(apr_time_from_msec(5));
    }
    apr_thread_pool_destroy(threads);
    threads = NULL;
    return APR_SUCCESS;
}

/* Of another version nobody has looked what it does with zeros in place of its struct. */
static int is_httpd_known(const ap_version_t *v)
{
    return v->major == AP_SERVER_MAJORVERSION_NUMBER &&
           v->minor == AP_SERVER_MINORVERSION_NUMBER &&
           v->patch == AP_SERVER_PATCHLEVEL_NUMBER && !DEVCACHE_FAULT("other-httpd");
}

void devcache_background_start(server_rec *main_server)
{
    ap_version_t v;

    event = ap_find_linked_module("event.c");
    ap_get_server_revision(&v);
    no_threads = event && !is_httpd_known(&v);
    if (no_threads) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, main_server,
                     DCLOGNO(0129) "background: mod_devcache was compiled for httpd %s, "
                                   "and this is %d.%d.%d: stale pages are refreshed by "
                                   "the threads that served them; compile it anew",
                     AP_SERVER_BASEREVISION, v.major, v.minor, v.patch);
    }
}

void devcache_background_child_init(apr_pool_t *pchild, server_rec *s)
{
    int threaded = 0;
    sigset_t before;
    apr_status_t rv;

    apr_socket_create(&dummy, APR_INET, SOCK_STREAM, APR_PROTO_TCP, pchild);
    if (ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded) != APR_SUCCESS || !threaded ||
        no_threads) {
        return;
    }
    /* All at once: to start them as jobs come leaves a job waiting for another one to end
     * where a thread has been woken for that and has not taken it yet. */
    devcache_process_mask_signals(&before);
    rv = apr_thread_pool_create(&threads, THREADS, THREADS, pchild);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rv != APR_SUCCESS) {
        threads = NULL;
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, s,
                     DCLOGNO(0121) "background: no threads; stale pages are refreshed by "
                                   "the threads that served them");
        return;
    }
    apr_thread_pool_idle_max_set(threads, THREADS);
    apr_pool_pre_cleanup_register(pchild, NULL, end_threads);
}
