/**
 * @file devcache_request.h
 * One request's way through the cache: the state that handler and filters share.
 *
 * Glue. The exchange is made when the request has been read, lives in the request's
 * pool, and is found again after internal redirects. Only the request's own thread
 * touches it.
 */
#ifndef DEVCACHE_REQUEST_H
#define DEVCACHE_REQUEST_H

#include <httpd.h>
#include "devcache_conf.h"
#include "devcache_flight.h"
#include "devcache_meter.h"
#include "devcache_response.h"

/* What the filters have to do with the response. One function moves it: see the table
 * in devcache_request.c. */
typedef enum devcache_phase_e {
    DEVCACHE_PHASE_IDLE,      /* not ours: pass everything on */
    DEVCACHE_PHASE_FETCH,     /* asked the origin for the whole; store it if allowed */
    DEVCACHE_PHASE_VALIDATE,  /* asked the origin whether the stored one still holds */
    DEVCACHE_PHASE_CONFIRMED, /* it does: the stored body is on its way, refresh it */
    DEVCACHE_PHASE_RETRY,     /* a 304 for something else: ask again, unconditionally */
    DEVCACHE_PHASE_SERVED     /* answered; swallow what the origin still sends */
} devcache_phase_e;

typedef struct devcache_exchange_t {
    apr_time_t now;         /* the request's one instant, microseconds */
    const char *path;       /* decoded and normalised, before any rewriting */
    const char *query;      /* as sent; NULL: none */
    apr_table_t *overrides; /* of the client's header, see the policy; NULL: none */
    devcache_device_result_t device; /* klass "-": not classified */

    /* Set by the handler where DevCache is On: */
    const devcache_dir_t *dir;
    devcache_server_t *server;
    devcache_policy_conf_t policy;
    devcache_vary_conf_t vary;
    devcache_request_t req;
    devcache_slice_t key;    /* data NULL: no key was made */
    devcache_slice_t target; /* what the origin is asked for */
    apr_table_t *own_fields; /* the client's header, as the hooks have left it */
    apr_table_t *fields;     /* the same, normalised: lookup, store and origin use it */
    devcache_phase_e phase;
    request_rec *ahead;   /* where rewriting in a directory leads; NULL: nowhere */
    int looking_ahead;    /* that is being found out */
    int running;          /* the other handlers are being run by ours */
    conn_rec *connection; /* meanwhile, where they are shown a copy; NULL: they are not */
    int answered;         /* the filters have answered in the origin's stead */
    int refreshing;       /* this is a refresh: nobody waits for the answer */
    apr_time_t refreshes; /* of what was stored then; 0: of what is not stored at all */

    devcache_hit_t *hit;        /* the stored response found, NULL: none */
    devcache_response_t stored; /* decoded; valid where hit is set */
    int variants_seen;          /* the key had variants, perhaps none that fits */
    devcache_fill_t *fill;      /* NULL: nothing is being stored */
    apr_time_t requested_at;    /* the origin was asked then */
    apr_time_t received_at;     /* its answer began then */
    apr_time_t answered_at;     /* ours began then; 0: not yet */
    const char *vary_shown;     /* the Vary of our answer, each name once; NULL: none */

    /* The origin's answer as it came, before mod_headers: replayed through it on hits. */
    apr_table_t *origin_fields;
    const char *origin_type;
    devcache_freshness_t fresh; /* of the response being stored or served */
    const char *spec;
    devcache_slice_t tags;   /* of the response being stored; data NULL: none */
    apr_int64_t expect;      /* body bytes announced; -1: not */
    apr_int64_t written;     /* body bytes given to the fill */
    int saving;              /* the response is being stored */
    devcache_publish_t what; /* how it is stored; made with the decision to store it */
    int answered_304; /* the client's own condition holds: body to the store only */

    /* The client of a response that is being stored: devcache_tee.c. */
    apr_bucket_brigade *held; /* stored, not yet sent; NULL: none yet */
    apr_int64_t sent;         /* body bytes passed on */
    int client_gone;          /* it closed; the fill goes on */
    int torn;                 /* what it lacks cannot be had any more */

    /* One fetch for all who want the same: devcache_collapse.c. */
    devcache_flight_t *flight; /* owned or followed; NULL: neither */
    apr_uint64_t flight_id;    /* 0: does not take part */
    const char *guess;         /* a spec this key has or had; NULL: not known */
    apr_time_t wait_until;     /* monotonic; 0: has not waited */
    devcache_reason_e waited;  /* why it needed the origin when it began to wait */
    int shared;                /* followers can read what is stored */
    int unreachable;           /* the origin gave no answer */

    /* What the response is put together from: devcache_part.c. */
    request_rec *part;       /* the subrequest that is being run; NULL: none */
    request_rec *part_asked; /* one that access control has not let in yet; NULL: none */
    int parts;               /* there were some */
    int part_spoils;         /* one of them failed, or is not for all */

    struct devcache_observed_t *observed; /* devcache_observe.c; NULL: not observed */

    devcache_outcome_e outcome;
    devcache_reason_e reason; /* why not (from) the cache */
    apr_interval_time_t ttl;  /* remaining lifetime; negative: stale */
    apr_interval_time_t age;  /* of what was served from the cache; -1: was not */
    int asked_by_client;      /* it was fresh, but the request wanted the origin's word */
    int origin_status;        /* what the origin answered; 0: not asked */
    int stored_ok;            /* the response is (being) stored */
} devcache_exchange_t;

/** The exchange of this request or of the one it was redirected from; NULL: none. */
devcache_exchange_t *devcache_request_exchange(request_rec *r);

/** The request that the client has sent, of which this is a part or a consequence. */
request_rec *devcache_request_first(request_rec *r);

/** Hook post_read_request: strip what clients may not send, classify, tell everybody. */
int devcache_request_classify(request_rec *r);

/** Hook translate_name: remember the URL as the client meant it. Always DECLINED. */
int devcache_request_capture(request_rec *r);

/** Per child: the memo of recent classifications. */
void devcache_request_child_init(apr_pool_t *pchild);

/**
 * Fill key, target, configuration; judge the request.
 * @return 1 where the cache may be used, else 0 with reason set
 */
int devcache_request_prepare(request_rec *r, devcache_exchange_t *x);

/** What the origin is asked for in @a r: a part of every variant. */
devcache_slice_t devcache_request_target(request_rec *r, const devcache_exchange_t *x,
                                         const devcache_query_t *rule);

/** Is what internal redirects have led to that which was looked at before? */
int devcache_request_is_foreseen(request_rec *r, const devcache_exchange_t *x);

/** Name the handler as ap_invoke_handler() will; it is a part of the target. */
void devcache_request_name_handler(request_rec *r);

/** The key of another URL of the same site, for invalidation. */
devcache_slice_t devcache_request_key_of(request_rec *r, const devcache_query_t *rule,
                                         const char *path, const char *query,
                                         apr_pool_t *p);

/** "scheme://host[:port]" as the client sees this server. */
const char *devcache_request_origin(request_rec *r);

/** The only way to change x->phase; logs the step. */
void devcache_request_step(request_rec *r, devcache_exchange_t *x, devcache_phase_e to);

/** Hook log_transaction, before the log modules: the variables for the access log. */
int devcache_request_log(request_rec *r);
#endif
