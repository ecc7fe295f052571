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
#include "devcache_background.h"

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
#include "devcache_fault.h"
#include "devcache_log.h"
#include "devcache_request.h"

extern module AP_MODULE_DECLARE_DATA devcache_module;

#define THREADS 4 /* of a child */
#define EVENT_STATE                                                                      \
    4096           /* bytes, more than mpm_event has for a connection: about 200         \
                    */
#define WAITING 64 /* requests that wait for one of them, of a child */

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
static module *event; /* mpm_event; NULL: another one */

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

void devcache_background_register(void)
{
    ap_hook_http_scheme(scheme, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_default_port(default_port, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_ssl_conn_is_ssl(is_tls, NULL, NULL, APR_HOOK_REALLY_FIRST);
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

static conn_rec *connection_like(const conn_rec *of, apr_pool_t *p)
{
    conn_rec *c = apr_pmemdup(p, of, sizeof *c);

    c->pool = p;
    c->id = own_id();
    c->conn_config = devcache_background_copy_config(of->conn_config, p);
    c->bucket_alloc = apr_bucket_alloc_create(p);
    c->notes = apr_table_make(p, 2);
    c->input_filters = NULL;
    c->output_filters = NULL;
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
    ap_add_output_filter_handle(sink_filter, NULL, NULL, c);
    ap_add_input_filter_handle(nothing_filter, NULL, NULL, c);
    return c;
}

/* From now on nothing leads to the client's connection. */
static void cut_loose(request_rec *own)
{
    conn_rec *c = own->connection;
    visit_t *visit = apr_palloc(c->pool, sizeof *visit);

    visit->scheme = ap_http_scheme(own);
    visit->port = ap_default_port(own);
    visit->is_tls = ap_ssl_conn_is_ssl(c);
    c->conn_config = ap_create_conn_config(c->pool);
    ap_set_core_module_config(c->conn_config, dummy);
    if (event) { /* it notes the server there, also of internal redirects */
        ap_set_module_config(c->conn_config, event, apr_pcalloc(c->pool, EVENT_STATE));
    }
    ap_set_module_config(c->conn_config, &devcache_module, visit);
    c->master = NULL;
}

/* ---- the request --------------------------------------------------------------------
 */

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

request_rec *devcache_background_request(request_rec *r, const apr_table_t *fields,
                                         apr_pool_t *p)
{
    request_rec *own = ap_create_request(connection_like(r->connection, p));

    own->server = r->server;
    own->per_dir_config = r->server->lookup_defaults;
    own->method = "GET";
    own->method_number = M_GET;
    own->protocol = apr_pstrdup(own->pool, "HTTP/1.1");
    own->proto_num = HTTP_VERSION(1, 1);
    own->request_time = apr_time_now();
    own->hostname = r->hostname ? apr_pstrdup(own->pool, r->hostname) : NULL;
    own->useragent_ip = apr_pstrdup(own->pool, r->useragent_ip);
    apr_sockaddr_info_copy(&own->useragent_addr, r->useragent_addr, own->pool);
    own->user = r->user ? apr_pstrdup(own->pool, r->user) : NULL;
    own->ap_auth_type = r->ap_auth_type ? apr_pstrdup(own->pool, r->ap_auth_type) : NULL;
    own->headers_in = apr_table_clone(own->pool, fields);
    own->subprocess_env = apr_table_clone(own->pool, r->subprocess_env);
    ap_parse_uri(own, uri_of(r, own->pool));
    own->the_request = apr_pstrcat(own->pool, "GET ", own->unparsed_uri, " HTTP/1.1",
                                   NULL);
    return own;
}

int devcache_background_prepare(request_rec *own)
{
    int rv = own->status == HTTP_OK ? ap_process_request_internal(own) : own->status;

    if (rv == OK) {
        devcache_request_name_handler(own);
    }
    return rv;
}

/* ---- threads --------------------------------------------------------------------------
 */

int devcache_background_is_ending(void)
{
    return __atomic_load_n(&ending, __ATOMIC_SEQ_CST) != 0;
}

static int take(job_t *job)
{
    return !__atomic_exchange_n(&job->taken, 1, __ATOMIC_SEQ_CST);
}

static void *APR_THREAD_FUNC run(apr_thread_t *self, void *data)
{
    job_t *job = data;
    apr_pool_t *p = job->own->connection->pool;

    if (take(job)) {
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
static int hand_over(job_t *job)
{
    apr_status_t rv;

    if (!threads) {
        run(job->own->connection->current_thread, job);
        return 1;
    }
    rv = apr_thread_pool_push(threads, run, job, APR_THREAD_TASK_PRIORITY_NORMAL, job);
    if (rv == APR_SUCCESS && !DEVCACHE_FAULT("background-push")) {
        return 1;
    }
    if (!take(job)) {
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
    /* Counted first: who ends the threads waits for all that did not see it coming. */
    if (__atomic_add_fetch(&under_way, 1, __ATOMIC_SEQ_CST) <= THREADS + WAITING &&
        !devcache_background_is_ending()) {
        cut_loose(own);
        if (hand_over(job)) {
            return 1;
        }
    }
    __atomic_sub_fetch(&under_way, 1, __ATOMIC_SEQ_CST);
    return 0;
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

void devcache_background_child_init(apr_pool_t *pchild, server_rec *s)
{
    int threaded = 0;
    apr_status_t rv;

    event = ap_find_linked_module("event.c");
    apr_socket_create(&dummy, APR_INET, SOCK_STREAM, APR_PROTO_TCP, pchild);
    if (ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded) != APR_SUCCESS || !threaded) {
        return;
    }
    rv = apr_thread_pool_create(&threads, 0, THREADS, pchild);
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
