/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Refilling.
 *
 *     purge's thread     list ... answer sent | a request for each: made, hooks, compared
 *     background threads                                         one after the other: fetched
 *
 * A variant says what it was stored for: URL, class, values of fields. The request is made
 * of that and of nothing else, so it is from nobody; and it is made only if the cache would
 * look for just that variant with it, or a visitor would not find what it brings. So variants
 * that depend on who somebody is, on a variable or an address stay out.
 *
 * Origins that look at User-Agent themselves are shown one of the class. For classes of own
 * rules there is none.
 *
 * They wait in one queue of the child, which two threads at most work off, so that refreshes
 * keep theirs. Where there are no threads the process that took the purge does it, and gives
 * up after a while. Of a host whose origin cannot be reached nothing more is tried.
 */
#include "request/refill.h"

#include <apr_strings.h>
#include <http_log.h>
#include <http_main.h>
#include <http_protocol.h>
#include <http_request.h>
#include <pthread.h>
#include "base/clock.h"
#include "base/fault.h"
#include "device/sample.h"
#include "http/field.h"
#include "mod_devcache.h"
#include "request/account.h"
#include "request/asked.h"
#include "request/background.h"
#include "request/collapse.h"
#include "request/decide.h"
#include "request/failing.h"
#include "request/refresh.h"
#include "request/visit.h"
#include "stats/stats.h"

#define LIMIT 256      /* of a child, at any time; each waits with about 30 KB */
#define LIMIT_ALONE 32 /* of a process without threads, which is busy with it */
#define BUDGET_ALONE apr_time_from_sec(30)
#define RUNNERS 2
#define LINES 8 /* a minute of the log, of a process: a purge may be about thousands */

static apr_uint32_t pending; /* that this child is to fetch */

typedef struct wanted_t {
    devcache_slice_t key, variant;
    const char *spec;
} wanted_t;

struct devcache_refill_t {
    request_rec *r;
    const devcache_device_rules_t *rules;
    apr_array_header_t *wanted;
    apr_table_t *agents; /* by class; "": there is none */
    apr_pool_t *ptemp;   /* for one object */
    unsigned of;         /* objects */
    unsigned personal;   /* of these, depend on who asks */
    unsigned no_agent;   /* are of a class that no User-Agent is known for */
    unsigned over;       /* too many */
};

/* ---- what went ------------------------------------------------------------------------ */

devcache_refill_t *devcache_refill_begin(request_rec *r)
{
    devcache_refill_t *list = apr_pcalloc(r->pool, sizeof *list);

    list->r = r;
    list->rules = devcache_conf_server(r->server)->device;
    list->wanted = apr_array_make(r->pool, 8, sizeof(wanted_t));
    list->agents = apr_table_make(r->pool, 8);
    apr_pool_create(&list->ptemp, r->pool);
    return list;
}

static devcache_slice_t copied(devcache_slice_t s, apr_pool_t *p)
{
    return devcache_slice(apr_pmemdup(p, s.data, s.len), s.len);
}

static int is_personal(const devcache_vary_said_t *said)
{
    const apr_array_header_t *all = apr_table_elts(said->values);
    int i;

    for (i = 0; i < all->nelts; i++) {
        if (devcache_field_is_secret(APR_ARRAY_IDX(all, i, apr_table_entry_t).key)) {
            return 1;
        }
    }
    return 0;
}

static const char *agent_for(const devcache_refill_t *list, const char *class)
{
    const char *agent = class ? apr_table_get(list->agents, class) : NULL;

    if (!agent) {
        agent = devcache_sample_agent(list->rules, class);
        agent = agent ? agent : "";
        if (class) {
            apr_table_set(list->agents, class, agent);
        }
    }
    return *agent ? agent : NULL;
}

static const char *agent_of(const devcache_refill_t *list,
                            const devcache_vary_said_t *said)
{
    const char *exact = apr_table_get(said->values, "user-agent");

    return exact ? exact : agent_for(list, said->device);
}

static unsigned limit(void)
{
    return devcache_background_has_threads() ? LIMIT : LIMIT_ALONE;
}

static void keep(devcache_refill_t *list, const devcache_described_t *object)
{
    wanted_t *one = apr_array_push(list->wanted);

    one->key = copied(object->key, list->r->pool);
    one->variant = copied(object->variant, list->r->pool);
    one->spec = apr_pstrmemdup(list->r->pool, object->spec.data, object->spec.len);
}

/* A purge may take out millions: nothing is kept of those that are only counted. */
void devcache_refill_note(void *baton, const devcache_described_t *object)
{
    devcache_refill_t *list = baton;
    devcache_vary_parts_t parts;
    devcache_vary_said_t said;

    if (!devcache_vary_key_parts(object->key, &parts) || parts.first >= 0) {
        return; /* a piece comes with its response */
    }
    if ((unsigned)list->wanted->nelts == limit()) {
        list->of++;
        list->over++;
        return;
    }
    apr_pool_clear(list->ptemp);
    if (!devcache_vary_read(object->variant, &said, list->ptemp)) {
        return; /* a rule */
    }
    list->of++;
    if (is_personal(&said)) {
        list->personal++;
    } else if (!agent_of(list, &said)) {
        list->no_agent++;
    } else {
        keep(list, object);
    }
}

/* ---- the answer ------------------------------------------------------------------------- */

static const char *number(const char *name, unsigned n, apr_pool_t *p)
{
    return n ? apr_psprintf(p, ", \"%s\": %u", name, n) : "";
}

const char *devcache_refill_settle(devcache_refill_t *list)
{
    apr_pool_t *p = list->r->pool;
    unsigned n = (unsigned)list->wanted->nelts;
    unsigned after = __atomic_add_fetch(&pending, n, __ATOMIC_RELAXED);
    unsigned back = after > limit() ? after - limit() : 0;

    back = back < n ? back : n;
    __atomic_sub_fetch(&pending, back, __ATOMIC_RELAXED);
    list->wanted->nelts -= (int)back;
    list->over += back;
    devcache_stats_add(DEVCACHE_COUNT_refills_left,
                       list->over + list->personal + list->no_agent);
    if (!devcache_background_has_threads() && list->wanted->nelts) {
        list->r->connection->keepalive = AP_CONN_CLOSE; /* this process is busy then */
    }
    return apr_pstrcat(p,
                       apr_psprintf(p, ", \"refill\": {\"begun\": %d, \"of\": %u",
                                    list->wanted->nelts, list->of),
                       number("over_limit", list->over, p),
                       list->over ? apr_psprintf(p, ", \"limit\": %u", limit()) : "",
                       number("personal", list->personal, p),
                       number("no_user_agent", list->no_agent, p), "}", NULL);
}

/* ---- a request for each ------------------------------------------------------------------ */

/* One that waits for its turn; lives in its own request's pool. */
typedef struct link_t {
    request_rec *own;
    devcache_exchange_t *x;
    struct link_t *next;
} link_t;

#define CODING "@coding"

/* The fields that it was stored for, as they were normalised: which is what they are
 * normalised to again. */
static apr_table_t *fields_for(const devcache_refill_t *list,
                               const devcache_vary_said_t *said, apr_pool_t *p)
{
    const apr_array_header_t *all = apr_table_elts(said->values);
    apr_table_t *fields = apr_table_make(p, 4 + all->nelts);
    int i;

    apr_table_set(fields, "User-Agent", agent_of(list, said));
    apr_table_setn(fields, "Accept", "*/*");
    for (i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *e = &APR_ARRAY_IDX(all, i, apr_table_entry_t);

        if (!ap_cstr_casecmp(e->key, "Host")) {
            continue; /* is that of the key */
        }
        if (strncmp(e->key, CODING, sizeof CODING - 1)) {
            apr_table_set(fields, e->key, e->val);
        } else {
            apr_table_set(fields, "Accept-Encoding",
                          strcmp(e->val, "identity") ? e->val : "gzip, br");
        }
    }
    return fields;
}

static const char *text_of(devcache_slice_t s, apr_pool_t *p)
{
    return apr_pstrmemdup(p, s.data, s.len);
}

static int is_https(const wanted_t *wanted)
{
    devcache_vary_parts_t parts;

    return devcache_vary_key_parts(wanted->key, &parts) &&
           devcache_slice_eq(parts.scheme, devcache_slice_str("https"));
}

/* What is not in a key, as bits. Visitors may have named the port in Host or, behind a
 * balancer, not; origins see that. TLS may end here or there; applications see that. */
#define WITH_PORT 1
#define AS_NAMED 2
#define WAYS 4

static void describe_visit(const devcache_refill_t *list, const wanted_t *wanted,
                           unsigned way, devcache_visit_t *visit, apr_pool_t *p)
{
    devcache_vary_parts_t parts;
    devcache_vary_said_t said;
    const char *host;

    memset(visit, 0, sizeof *visit);
    devcache_vary_key_parts(wanted->key, &parts);
    devcache_vary_read(wanted->variant, &said, p);
    host = text_of(parts.host, p);
    if (strchr(host, ':')) { /* IPv6, RFC 3986 3.2.2 */
        host = apr_pstrcat(p, "[", host, "]", NULL);
    }
    visit->as_named = (way & AS_NAMED) != 0;
    visit->tls = !visit->as_named && is_https(wanted);
    visit->port = (apr_port_t)parts.port;
    visit->host = way & WITH_PORT ? apr_psprintf(p, "%s:%u", host, parts.port) : host;
    visit->uri = apr_pstrcat(p, ap_os_escape_path(p, text_of(parts.path, p), 1),
                             parts.query.data ? "?" : NULL,
                             parts.query.data ? text_of(parts.query, p) : NULL, NULL);
    visit->headers = fields_for(list, &said, p);
}

/* NULL, or why this request would not bring what is wanted. */
static const char *why_not(request_rec *own, const wanted_t *wanted)
{
    int status = devcache_visit_prepare(own);
    devcache_exchange_t *x = devcache_request_exchange(own);

    if (status != OK) {
        return "the hooks refuse it";
    }
    if (!x || devcache_decide_is_ours(own, x) != DEVCACHE_OURS_ON ||
        !devcache_asked_prepare(own, x)) {
        return "the cache is not on there";
    }
    if (!devcache_slice_eq(x->asked.key, wanted->key) ||
        !devcache_slice_eq(devcache_collapse_variant(x, wanted->spec, own->pool),
                           wanted->variant)) {
        return "it depends on more than a URL, a class and fields";
    }
    return NULL;
}

/* Made and compared; NULL, and *pwhy. */
static link_t *try_link(const devcache_refill_t *list, const wanted_t *wanted,
                        unsigned way, const char **pwhy)
{
    apr_pool_t *p = devcache_background_pool();
    devcache_visit_t visit;
    request_rec *own;
    link_t *link;

    if (!p) {
        *pwhy = "no memory";
        return NULL;
    }
    describe_visit(list, wanted, way, &visit, p);
    own = devcache_visit_make(list->r, &visit, p);
    *pwhy = own ? why_not(own, wanted) : "there is no such address";
    if (*pwhy) {
        apr_pool_destroy(p);
        return NULL;
    }
    link = apr_pcalloc(p, sizeof *link);
    link->own = own;
    link->x = devcache_request_exchange(own);
    link->x->refresh.running = 1;
    link->x->found.guess = apr_pstrdup(p, wanted->spec); /* or one would follow another */
    devcache_background_detach(own);
    return link;
}

static apr_uint64_t said; /* of what purges have counted as begun, and is not */

static link_t *make_link(const devcache_refill_t *list, const wanted_t *wanted)
{
    unsigned way, ways = is_https(wanted) ? WAYS : AS_NAMED;
    const char *why;
    link_t *link = NULL;

    for (way = 0; way < ways && !link; way++) {
        link = try_link(list, wanted, way, &why);
    }
    if (!link && devcache_clock_allows(&said, LINES)) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, list->r,
                      DCLOGNO(0145) "refill: %s is not fetched again: %s (at most %d "
                                    "such lines a minute; all are counted in "
                                    "refills_left)",
                      devcache_vary_key_url(wanted->key, list->r->pool), why, LINES);
    }
    return link;
}

/* ---- the queue ---------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static link_t *queue, **queue_end = &queue; /* of this child */
static unsigned runners;

static void append(link_t *link)
{
    pthread_mutex_lock(&lock);
    *queue_end = link;
    queue_end = &link->next;
    pthread_mutex_unlock(&lock);
}

/* NULL: there is none, or enough work on it. @a more: for one more runner; else for one
 * that ends with the last link */
static link_t *take(int more)
{
    link_t *link = NULL;

    pthread_mutex_lock(&lock);
    if (!more || runners < RUNNERS) {
        link = queue;
    }
    if (link) {
        queue = link->next;
        queue_end = queue ? queue_end : &queue;
    }
    runners = more ? runners + (link != NULL) : runners - (link == NULL);
    pthread_mutex_unlock(&lock);
    return link;
}

/* Take those of a host out, or all. */
static link_t *cut_out(const server_rec *of)
{
    link_t *gone = NULL, **at = &queue;

    pthread_mutex_lock(&lock);
    while (*at) {
        link_t *link = *at;

        if (of && link->own->server != of) {
            at = &link->next;
        } else {
            *at = link->next;
            link->next = gone;
            gone = link;
        }
    }
    queue_end = at;
    pthread_mutex_unlock(&lock);
    return gone;
}

static void leave(unsigned n)
{
    __atomic_sub_fetch(&pending, n, __ATOMIC_RELAXED);
    devcache_stats_add(DEVCACHE_COUNT_refills_left, n);
}

/* Visitors will fetch them. */
static void give_up(const server_rec *of, const char *why)
{
    link_t *link = cut_out(of), *next;
    unsigned n = 0;

    for (; link; link = next, n++) {
        next = link->next;
        apr_pool_destroy(link->own->connection->pool);
    }
    leave(n);
    if (n && devcache_clock_allows(&said, LINES)) {
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, of ? of : ap_server_conf,
            DCLOGNO(0148) "refill: %u responses are not fetched again: %s (at most "
                          "%d such lines a minute; all are counted in "
                          "refills_left)",
            n, why, LINES);
    }
}

/* ---- fetching ----------------------------------------------------------------------------- */

/* @return 0: the origin could not be reached */
static int fetch_one(link_t *link)
{
    devcache_exchange_t *x = link->x;
    request_rec *own = link->own;
    int rv;

    devcache_stats_count(DEVCACHE_COUNT_refills);
    rv = devcache_refresh_now(own, x);
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, own,
                  DCLOGNO(0146) "refill: %s [%s]: origin answered %d (%d)%s",
                  devcache_vary_key_url(x->asked.key, own->pool), x->device.class,
                  x->origin.status, rv, x->save.stored ? ", stored" : "");
    return !devcache_failing_was_silent(x);
}

/* In a background thread: one after the other. The first one's pool is its caller's. */
static void run(request_rec *first, void *baton)
{
    apr_time_t until = devcache_background_has_threads()
                           ? 0
                           : devcache_monotonic() + BUDGET_ALONE;
    link_t *link;

    for (link = baton; link; link = take(0)) {
        link->own->connection->current_thread = first->connection->current_thread;
        if (!fetch_one(link)) {
            give_up(link->own->server, "the origin cannot be reached");
        }
        if (link->own != first) {
            apr_pool_destroy(link->own->connection->pool);
        }
        __atomic_sub_fetch(&pending, 1, __ATOMIC_RELAXED);
        if (until && (devcache_monotonic() > until || DEVCACHE_FAULT("refill-budget"))) {
            give_up(NULL, "this process has been busy with it for long enough");
        } else if (devcache_background_is_ending()) {
            give_up(NULL, "this process is about to end");
        }
    }
}

/* As many as there may be. Where no thread takes one those that run go on with the rest. */
static void start_runners(void)
{
    link_t *link;
    int others;

    while ((link = take(1)) != NULL) {
        if (!devcache_background_run(link->own, run, link)) {
            apr_pool_destroy(link->own->connection->pool);
            leave(1);
            pthread_mutex_lock(&lock);
            others = --runners > 0;
            pthread_mutex_unlock(&lock);
            if (!others) {
                give_up(NULL, "too much waits for this process");
            }
            return;
        }
    }
}

void devcache_refill_run(devcache_refill_t *list)
{
    unsigned i, n = (unsigned)list->wanted->nelts, made = 0;

    ap_rflush(list->r);
    devcache_refresh_send_out(list->r);
    for (i = 0; i < n; i++) {
        link_t *link = make_link(list, &APR_ARRAY_IDX(list->wanted, i, wanted_t));

        if (link) {
            append(link);
            made++;
        }
    }
    leave(n - made);
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, list->r,
                  DCLOGNO(0147) "refill: %u of %u responses are fetched again; %u over "
                                "the limit, %u personal, %u without a User-Agent, %u for "
                                "other reasons",
                  made, list->of, list->over, list->personal, list->no_agent, n - made);
    start_runners();
}
