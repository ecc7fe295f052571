/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/request.h
 * One request's way through the cache: the state that handler and filters share.
 *
 * Glue. The exchange is made when the request has been read, lives in the request's
 * pool, and is found again after internal redirects. Only the request's own thread
 * touches it.
 */
#ifndef DEVCACHE_REQUEST_REQUEST_H
#define DEVCACHE_REQUEST_REQUEST_H

#include <httpd.h>
#include "setup/conf.h"
#include "flight/flight.h"
#include "purge/learnt.h"
#include "stats/meter.h"
#include "http/response.h"
#include "tier/share.h"

/* What the filters have to do with the response. One function moves it: see the table
 * in request/request.c. */
typedef enum devcache_phase_e {
    DEVCACHE_PHASE_IDLE,      /* not ours: pass everything on */
    DEVCACHE_PHASE_FETCH,     /* asked the origin for the whole; store it if allowed */
    DEVCACHE_PHASE_VALIDATE,  /* asked the origin whether the stored one still holds */
    DEVCACHE_PHASE_CONFIRMED, /* it does: the stored body is on its way, refresh it */
    DEVCACHE_PHASE_RETRY,     /* a 304 for something else: ask again, unconditionally */
    DEVCACHE_PHASE_SERVED     /* answered; swallow what the origin still sends */
} devcache_phase_e;

/* What has become of a piece that was asked for. */
typedef enum devcache_piece_result_e {
    DEVCACHE_PIECE_NONE,     /* not asked, or it has not come */
    DEVCACHE_PIECE_STORED,   /* it is in the store, or where it was to be kept */
    DEVCACHE_PIECE_UNSTORED, /* it is the piece, but cannot be stored, or may not be */
    DEVCACHE_PIECE_USELESS,  /* the answer is no piece, or none that is of use */
    DEVCACHE_PIECE_CHANGED   /* it is one of another representation */
} devcache_piece_result_e;

/* How what is stored goes out. */
typedef enum devcache_form_e {
    DEVCACHE_FORM_STORED,   /* as it is */
    DEVCACHE_FORM_INFLATED, /* it is in gzip, which the client does not take */
    DEVCACHE_FORM_FRAGMENTS /* it has gaps, which are filled each time */
} devcache_form_e;

#define DEVCACHE_ADDED_MAX 4 /* Age, Content-Length, Accept-Ranges, Vary */

/* One request's way. Each part belongs to the file named beside it, which alone writes it
 * where nothing else is said; others read. */
typedef struct devcache_exchange_t {
    apr_time_t now;                  /* the request's one instant, microseconds */
    devcache_device_result_t device; /* class "-": not classified. request.c */
    devcache_phase_e phase;          /* by devcache_request_step() only */

    /* What holds for this place; the handler, where DevCache is On. */
    const devcache_dir_t *dir;
    devcache_server_t *server;
    devcache_policy_conf_t policy;
    devcache_vary_conf_t vary;

    /* What is asked for: request.c. */
    struct {
        const char *path;  /* decoded and normalised, before any rewriting */
        const char *query; /* as sent; NULL: none */
        devcache_request_t req;
        devcache_slice_t key;       /* data NULL: no key was made */
        devcache_slice_t whole_key; /* with all of the query, where the key lacks some */
        devcache_learnt_t learnt;   /* what makes no other page; DevCacheNoVarySearch */
        devcache_slice_t target;    /* what the origin is asked for */
        apr_table_t *own_fields;    /* the client's header, as the hooks have left it */
        apr_table_t *fields;  /* the same, normalised: lookup, store, origin use it */
        const char *address;  /* what mod_proxy adds to X-Forwarded-For; NULL: nothing */
        const char *protocol; /* and to Via */
        request_rec *ahead;   /* where rewriting in a directory leads; NULL: nowhere */
        int looking_ahead;    /* that is being found out: ahead.c */
        int canonical;        /* mod_proxy makes its URL: canon.c */
        struct devcache_whole_t *whole; /* what reduce.c has changed; NULL: nothing */

        /* What its fields are: fields.c. */
        const apr_table_entry_t *sent; /* the client's lines, to see what hooks change */
        int sent_lines;
        int stands_out;                /* one of them may forbid the cache: request.c */
        ap_conf_vector_t *sections;    /* before others look at it, and */
        char *sections_of;             /* the URL that they are of */
        apr_table_t *read_fields;      /* as post_read_request has left it, for parts; */
        apr_table_t *read_environment; /* likewise; NULL: there is no DevCacheFragments */
        int certified;           /* who asks for the page whose part this is: compose.c */
        apr_array_header_t *set; /* const apr_table_entry_t *: set by the configuration,
                                    * and compared; NULL: none */
        apr_array_header_t *forms; /* const char *: they ask for another form; NULL */
        const char *cookie;        /* the first that counts; NULL: none does */
        const char
            *vary; /* what the configuration has looked at; NULL: nothing. said.c */
        apr_array_header_t *suspects; /* const char *: odd unless compared; NULL: none */
        int suspects_known;
        int shown_to_balancer; /* all cookies are in the header that it sees. sticky.c */
        int of_post;           /* its answer may be stored for GET. post.c */
        int as_get; /* by HEAD, and the origin is asked by GET: DevCacheHead. serve.c */
        const char *odd; /* field or cookie that keeps the answer from being stored */
    } asked;

    /* What is stored for it: the lookup in serve.c; collapse.c where a flight brings it. */
    struct {
        devcache_hit_t *hit;        /* NULL: nothing that fits */
        devcache_response_t stored; /* decoded; valid where hit is set */
        int variants;               /* the key had some, perhaps none that fits */
        devcache_form_e form;       /* in which it goes out: decide.c */
        int for_others;             /* one fits, but for visitors without cookies */
        const char *guess;          /* a spec this key has or had; NULL: not known */
        const apr_array_header_t *differs; /* devcache_differs_t; NULL: not looked for.
                                            * differs.c */
    } found;

    /* The origin and its answer: run_handlers() in serve.c, DEVCACHE_ORIGIN in save.c. */
    struct {
        int running;             /* the other handlers are being run by ours */
        int status;              /* of its answer; 0: not asked */
        int watched;             /* the filters that see its answer stand in the chain */
        conn_rec *connection;    /* meanwhile, where they are shown a copy; else NULL */
        apr_time_t requested_at; /* 0: not asked */
        apr_time_t received_at;  /* its answer began then */
        apr_uint64_t backend;    /* a hash of who is asked: failing.c; 0: nobody */
        int unreachable;         /* it gave no answer */
        int answered;            /* the filters have answered in its stead */
        apr_table_t *blank;  /* r->headers_out before it was asked; also by origin.c */
        int headless;        /* the answer came without a head */
        int misstated;       /* more or less of it came than was stated. length.c */
        int foreseen;        /* redirects have come to asked.ahead */
        apr_table_t *fields; /* as they came, before mod_headers: */
        const char *type;    /* replayed through that on hits */
        apr_table_t *said;   /* before mod_expires as well; NULL: not known. said.c */
        int is_file;         /* httpd's own handler has sent it. said.c */
    } origin;

    /* The response that is being stored: save.c. */
    struct {
        devcache_fill_t *fill;   /* begun by serve.c or refresh.c; NULL: none, or ended */
        int stored;              /* the response is (being) stored */
        devcache_publish_t what; /* how; spec and tags as soon as it has been judged */
        apr_int64_t expect;      /* body bytes announced; -1: not */
        apr_int64_t written;     /* body bytes given to the fill */
        devcache_reason_e only_lent; /* it will not be stored, but is being read: why */
        apr_time_t left_at; /* the last reader left then, monotonic: finish.c; 0: not */
        int incremental;    /* it asks not to be held back: RFC 10036 */
        int bodyless;       /* the client gets no body: its own condition holds, or it has
                             * asked by HEAD; to the store only */
        int head_passed;    /* asked by HEAD, and not stored: it has all it wants */
        int unsettled; /* put together as it goes out: what it varies by is not known yet */
        const apr_table_t *judged; /* the fields by which it is stored */
    } save;

    /* A response in pieces: piece.c says what is asked for, partial.c stores what comes. */
    struct {
        devcache_span_t asked; /* of the origin, in place of what the client wants, */
        int is_asked;          /* if this is set */
        int is_open;           /* asked to the end, wherever that is */
        int given_up;          /* it was, and the answer was of no use */
        devcache_hit_t *hit;   /* what it belongs to, if that is stored; NULL: not yet */
        devcache_response_t stored;    /* decoded; valid where hit is set */
        devcache_span_t gap;           /* all that it lacks for this request, */
        int has_gap;                   /* if it is little */
        const devcache_pieces_t *into; /* what is being stored is one of these, */
        devcache_span_t span;          /* this one */
        devcache_fill_t *fill;         /* of the response itself, meanwhile */
        devcache_publish_t what;       /* how that is stored then */
        int is_new;                    /* it is not there yet */
        int swallow;                   /* the client is served when it is stored */
        int alone;                     /* a request of our own, for a piece alone, */
        char *keep;                    /* whose bytes go here; NULL: into the store */
        apr_size_t kept;               /* so many have come */
        devcache_piece_result_e result;
    } piece;

    /* The client of a response that is being stored: tee.c. */
    struct {
        apr_bucket_brigade *held; /* stored, not yet sent; NULL: none yet */
        apr_int64_t sent;         /* body bytes passed on */
        int client_gone;          /* it closed; the fill goes on */
        int torn;                 /* what it lacks cannot be had any more; save.c too */
    } tee;

    /* One fetch for all who want the same: collapse.c. */
    struct {
        devcache_flight_t *flight;   /* owned or followed; NULL: neither. refresh.c too */
        apr_uint64_t key;            /* a hash of asked.key; 0: not made yet */
        const char *spec;            /* the one that id goes by; NULL: none was made */
        devcache_slice_t variant;    /* the values under it */
        apr_uint64_t id;             /* 0: does not take part. refresh.c too */
        apr_time_t wait_until;       /* monotonic; 0: has not waited */
        devcache_reason_e waited;    /* why it needed the origin when it began to wait */
        int shared;                  /* followers can read what is stored */
        apr_interval_time_t avoided; /* it is not for others, so long; 0: not known */
    } collapse;

    /* Other machines: peers.c. */
    struct {
        int taken;                   /* the answer is one of theirs */
        devcache_recent_then_t then; /* known when the origin was asked; run 0: nothing */
        apr_time_t began;            /* it was asked then, monotonic */
        devcache_share_item_t *copy; /* for them; NULL: none */
        devcache_share_lock_t *lock; /* they wait for it; NULL: none */
    } peers;

    /* What the response is put together from: part.c. */
    struct {
        request_rec *running; /* the subrequest that is being run; NULL: none */
        request_rec *asked;   /* one that access control has not let in yet; NULL: none */
        int any;              /* there were some */
        int spoils;           /* one of them failed, or is not for all */
        apr_time_t until;     /* the first of them to expire does so then; 0: none says */
        devcache_slice_t tags; /* of all of them */
    } part;

    /* A request of the server's own: refresh.c. */
    struct {
        int running;          /* nobody waits for the answer */
        apr_time_t stored_at; /* of what it is about; 0: of what is not stored at all */
    } refresh;

    struct devcache_observed_t *observed; /* watch/observe.c; NULL: not observed */
    struct devcache_compose_t *composed;  /* compose.c, fragments.c; NULL: nothing is */

    /* Our answer: whoever gives it. */
    struct {
        devcache_outcome_e outcome;
        devcache_reason_e reason;   /* why not (from) the cache */
        devcache_freshness_t fresh; /* of the response being stored or served */
        apr_interval_time_t ttl;    /* remaining lifetime; negative: stale */
        apr_interval_time_t age;    /* of what was served from the cache; -1: was not, */
        apr_int64_t length;         /* and how long that is; -1: not known */
        apr_time_t at;              /* it began then; 0: not yet */
        int asked_by_client; /* it was fresh, but the request wanted the origin's word */
        const char *vary;    /* its Vary, each name once; NULL: none. reply.c */
        /* The fields that are known to be clean, in their order in r->headers_out, but for
         * what others have done to these since; restore.c, reply.c. */
        devcache_kept_field_t *known;
        int count_known, room_known; /* 0: nothing is known */
    } answer;
} devcache_exchange_t;

/** Looks for a request's variant: devcache_store_lookup() or devcache_store_peek(). */
typedef apr_status_t devcache_lookup_fn(devcache_store_t *s, devcache_slice_t key,
                                        devcache_variant_fn *variant, void *baton,
                                        devcache_hit_t **phit, apr_pool_t *p);

/** Has the URL a query, as far as that is a part of the key? */
static inline int devcache_request_has_query(const devcache_exchange_t *x)
{
    devcache_vary_parts_t parts;

    return devcache_vary_key_parts(x->asked.key, &parts) && parts.query.data;
}

/** Add a field, of which none is there, to an answer, and note what is known of it. */
static inline void devcache_request_add_field(request_rec *r, devcache_exchange_t *x,
                                              const devcache_kept_field_t *field)
{
    if (x->answer.count_known < x->answer.room_known) {
        x->answer.known[x->answer.count_known++] = *field;
    }
    apr_table_addn(r->headers_out, field->name, field->value);
}

/** Is the response that is under way being stored? */
static inline int devcache_request_is_saving(const devcache_exchange_t *x)
{
    return x->save.stored && x->save.fill;
}

/** The fields of the answer so far, those for errors included: a new table. */
static inline apr_table_t *devcache_request_fields_out(const request_rec *r)
{
    apr_table_t *fields = apr_is_empty_table(r->err_headers_out)
                              ? apr_table_copy(r->pool, r->headers_out)
                              : apr_table_overlay(r->pool, r->err_headers_out,
                                                  r->headers_out);

    if (r->content_encoding) { /* mod_mime's, which httpd makes a field of later */
        apr_table_setn(fields, "Content-Encoding", r->content_encoding);
    }
    return fields;
}

/** Does the request tell who it is from: credentials, cookies that count? */
int devcache_request_is_personal(const devcache_exchange_t *x);

/** The exchange of this request or of the one it was redirected from; NULL: none. */
devcache_exchange_t *devcache_request_exchange(request_rec *r);

/** An exchange for a request that has none yet; of its pool. */
devcache_exchange_t *devcache_request_begin(request_rec *r);

/** The request that the client has sent, of which this is a part or a consequence. */
request_rec *devcache_request_first(request_rec *r);

/** The one that has answered, after internal redirects of this one. */
request_rec *devcache_request_last(request_rec *r);

/** Hook post_read_request: strip what clients may not send, classify, tell everybody. */
int devcache_request_classify(request_rec *r);

/** Hook translate_name: remember the URL as the client meant it, and what its parts are to
 * see of the request. Always DECLINED. */
int devcache_request_capture(request_rec *r);

/** The client's HEAD, where the handlers have been shown a GET (x->asked.as_get). */
void devcache_request_show_head(request_rec *r, const devcache_exchange_t *x);

/** The only way to change x->phase; logs the step. */
void devcache_request_step(request_rec *r, devcache_exchange_t *x, devcache_phase_e to);

/** Hook log_transaction, before the log modules: the variables for the access log. */
int devcache_request_log(request_rec *r);
#endif
