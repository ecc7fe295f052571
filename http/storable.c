/* SPDX-License-Identifier: Apache-2.0 */
#include "http/policy.h"

#include "http/directive.h"
#include "http/field.h"
#include "http/ordinary.h"

/*
 * May a response be stored, and for how long is it fresh (RFC 9111 sections 3 and 4.2)?
 *
 * A response is read once into a reading_t. Then refusals are asked for in a fixed
 * order, cheap and certain ones first: message and status, then what origin and
 * administrator say, then whether keeping it would be of any use. "On doubt, not": what
 * contradicts itself or breaks the grammar may mean something else to the client, to
 * the next cache or to the origin than to us, and storing spreads the harm to everybody.
 *
 * Statuses come in three groups, see status_group(). An error page is stored only for a
 * request that no origin minds and if the origin says for how long, and what answers one
 * request's own message never, as a hostile request could else put its error in the place
 * of a good page.
 *
 * Freshness is the administrator's ForceTTL, else what the origin says, else his
 * DefaultTTL, else a guess: a part of the time since Last-Modified (DevCacheHeuristic), and
 * no more than a bound. His own times count from receipt, as an origin that needs them is often one with a wrong clock; the
 * origin's count from generation, as the RFC has it.
 */

#define PLAIN_MAX_BYTES                                                                  \
    4096 /* of a request header that no origin is likely to refuse                       \
          */
#define HEADERS_MAX_BYTES (64 * 1024)
#define HEADERS_MAX_LINES 200
#define LIFETIME_MAX apr_time_from_sec(DEVCACHE_FIELD_DELTA_MAX)

typedef enum {
    BY_DEFAULT,  /* heuristically cacheable: RFC 9110 section 15.1 */
    IF_PLAIN,    /* as IF_EXPLICIT, and only in answer to an ordinary request */
    IF_EXPLICIT, /* only fresh, and only if the origin or the administrator says so */
    NEVER        /* an answer to a message, a connection or a state, not to a URL */
} status_group_e;

typedef struct {
    const apr_table_t *headers;
    int status;
    status_group_e group;
    devcache_directives_t said;
    int targeted;     /* it is a targeted field that speaks */
    int explicit_ttl; /* the origin states a lifetime, be it an invalid one */
    int forbidden;    /* a field that is not read for its lifetime says no */
    int validator;    /* has an entity tag or Last-Modified that validates */
    apr_time_t date;  /* Date, or received_at if it has none that is valid */
} reading_t;

static status_group_e status_group(int status)
{
    switch (status) {
    case 200:
    case 203:
    case 204:
    case 300:
    case 301:
    case 308:
    case 404:
    case 405:
    case 410:
    case 414:
    case 501:
        return BY_DEFAULT;
    case 400: /* blames the request's own message, but some mean the URL by it */
        return IF_PLAIN;
    case 206: /* a part */
    case 304: /* these depend on the request's preconditions */
    case 412:
    case 406: /* these blame the request's own header or message: cache poisoned denial
               * of service */
    case 408:
    case 411:
    case 413:
    case 415:
    case 417:
    case 421:
    case 425:
    case 426:
    case 505:
    case 407: /* these belong to a hop */
    case 511: /* RFC 6585 section 6: MUST NOT be stored by a cache */
    case 428: /* RFC 6585 section 3, likewise */
    case 429: /* RFC 6585 section 4, likewise */
    case 431: /* RFC 6585 section 5, likewise */
    case 416: /* depends on Range */
    case 226: /* RFC 3229: what has changed since a copy that the client has */
        return NEVER;
    default:
        return status >= 200 && status <= 599 ? IF_EXPLICIT : NEVER;
    }
}

int devcache_policy_can_store(int status, int stated)
{
    status_group_e group = status_group(status);

    return group != NEVER && (stated || group != IF_PLAIN);
}

/* Is the status one whose rules for caches we obey (RFC 9111 section 3)? */
static int is_understood(int status)
{
    static const short known[] = {200, 201, 202, 203, 204, 205, 300, 301, 302, 303,
                                  307, 308, 401, 402, 403, 404, 405, 406, 409, 410,
                                  414, 422, 423, 424, 451, 500, 501, 502, 503, 504};
    apr_size_t i;

    for (i = 0; i < sizeof(known) / sizeof(*known); i++) {
        if (known[i] == status) {
            return 1;
        }
    }
    return 0;
}

/* --- reading ---------------------------------------------------------------------- */

/* The table itself knows sooner than a walk that a field is absent: where one hardly ever
 * comes, this is asked first. */
static int has(const apr_table_t *headers, const char *name)
{
    return apr_table_get(headers, name) != NULL;
}

/* The instant in a field that holds one date; 0 if it is absent or no date. */
static int get_date(const apr_table_t *headers, const char *name, apr_time_t near,
                    apr_time_t *out)
{
    const char *value = devcache_field_single(headers, name);
    return value && devcache_field_date(value, near, out);
}

static int has_validator(const apr_table_t *headers, apr_time_t now)
{
    devcache_etag_t etag;
    apr_time_t modified;

    return devcache_field_etag(devcache_field_single(headers, "ETag"), &etag) ||
           get_date(headers, "Last-Modified", now, &modified);
}

static int states_lifetime(const devcache_directives_t *said)
{
    return said->s_maxage >= 0 || said->max_age >= 0 || said->expires_at >= 0;
}

static void read_response(reading_t *r, const devcache_policy_conf_t *conf, int status,
                          const apr_table_t *headers, apr_time_t received_at,
                          apr_pool_t *p)
{
    r->targeted = devcache_directive_response(conf->targets, headers, &r->said, p);
    r->headers = headers;
    r->status = status;
    r->group = status_group(status);
    /* RFC 9213 section 2.2: a targeted field replaces Expires as well. */
    r->explicit_ttl = states_lifetime(&r->said) ||
                      (!r->targeted && has(headers, "Expires"));
    r->forbidden = !r->targeted && (!conf->targets || conf->targets->nelts) &&
                   devcache_directive_forbidden_by(conf->targets, headers, received_at);
    /* RFC 9111 section 5.4: Pragma is from before Cache-Control, which replaces it. */
    r->said.no_cache |= !states_lifetime(&r->said) &&
                        devcache_field_has(headers, "Pragma", "no-cache");
    r->validator = has_validator(headers, received_at);
    if (!get_date(headers, "Date", received_at, &r->date)) {
        r->date = received_at; /* RFC 9110 section 6.6.1 */
    }
}

/* --- the message ------------------------------------------------------------------ */

/* Every line is a token and a value without control characters, and together they are
 * no more than a stored response may have. */
static devcache_reason_e judge_lines(const apr_table_t *headers)
{
    const apr_array_header_t *lines = apr_table_elts(headers);
    const apr_table_entry_t *e = (const apr_table_entry_t *)lines->elts;
    apr_size_t bytes = 0;
    int i;

    if (lines->nelts > HEADERS_MAX_LINES) {
        return DEVCACHE_REASON_HEADERS_LIMIT;
    }
    for (i = 0; i < lines->nelts; i++) {
        devcache_slice_t name = devcache_slice_str(e[i].key);
        apr_size_t len = strlen(e[i].val);

        bytes += name.len + len + 4; /* ": " and CRLF */
        if (bytes > HEADERS_MAX_BYTES) {
            return DEVCACHE_REASON_HEADERS_LIMIT;
        }
        if (!devcache_field_is_clean(e[i].val, len) || !devcache_field_is_token(name)) {
            return DEVCACHE_REASON_CONFLICT;
        }
    }
    return DEVCACHE_REASON_NONE;
}

/* RFC 9112 section 6.3: one length, however often it is said, and no second framing. */
static int framing_conflicts(const apr_table_t *headers)
{
    devcache_slice_t member, first = {NULL, 0};
    const char *line;
    int index = 0;

    while ((line = devcache_field_line(headers, "Content-Length", &index)) != NULL) {
        int members = 0;
        for (; devcache_field_next(&line, &member); members++) {
            first = first.data ? first : member;
            if (devcache_field_delta(member) < 0 || !devcache_slice_eq(first, member)) {
                return 1;
            }
        }
        if (!members) {
            return 1;
        }
    }
    return first.data && has(headers, "Transfer-Encoding");
}

/* Does Content-Range say that this is a part? With a status other than 206 it has no
 * meaning (RFC 9110 section 14.4), so nonsense in it is no obstacle; but a true range
 * there is an origin's fault that is better not kept. */
static int is_part(const reading_t *r)
{
    const char *range;
    int index = 0;

    if (!has(r->headers, "Content-Range")) {
        return r->status == 206;
    }
    while ((range = devcache_field_line(r->headers, "Content-Range", &index)) != NULL) {
        if (strncasecmp(range, "bytes ", 6) == 0) {
            return 1;
        }
    }
    return r->status == 206;
}

/* Without control characters. What is not ASCII is negative, or above. */
static int is_visible(const char *at)
{
    while (*at >= 0x20 && *at < 0x7f) {
        at++;
    }
    return !*at;
}

/* An ordinary request's header section: of a size that no origin minds, without anything
 * but visible ASCII, and without what filters of attacks look for: markup, quotes, commands,
 * paths that lead upwards. Where a URL may well be unknown (404) "%" is none of these. What
 * is in a field that the administrator knows is his word. */
static int is_plain(const devcache_policy_conf_t *conf, const apr_table_t *headers,
                    int is_missing)
{
    const char *odd = is_missing ? "<>'`{}|\\^$" : "<>'`{}|\\^$%";
    const apr_array_header_t *lines = apr_table_elts(headers);
    const apr_table_entry_t *e = (const apr_table_entry_t *)lines->elts;
    apr_size_t bytes = 0;
    int i;

    for (i = 0; i < lines->nelts; i++) {
        apr_size_t len = strlen(e[i].val);

        if ((strcspn(e[i].val, odd) < len || strstr(e[i].val, "..") ||
             !strcasecmp(e[i].key, "Range")) &&
            !devcache_ordinary_is_among(conf->known_headers, e[i].key)) {
            return 0;
        }
        if (!is_visible(e[i].val)) {
            return 0;
        }
        bytes += strlen(e[i].key) + len + 4;
    }
    return bytes <= PLAIN_MAX_BYTES;
}

/* Many sites refuse programs, by names that are no browser's. */
static int is_program(const apr_table_t *headers)
{
    const char *agent = apr_table_get(headers, "User-Agent");

    return agent && strncmp(agent, "Mozilla/", 8) != 0;
}

/* An error that the sender's header provoked must not become everybody's page (cache
 * poisoned denial of service): errors are stored only for a plain request. */
static int is_provoked(const devcache_policy_conf_t *conf, const devcache_request_t *req,
                       const reading_t *r)
{
    int is_missing = r->status == 404 || r->status == 410;

    return r->status >= 400 &&
           (!req->headers || !is_plain(conf, req->headers, is_missing) ||
            (r->status == 403 && is_program(req->headers)));
}

/* A "Bad Request" only with a lifetime of its own, not with the Expires that a site puts on
 * everything. */
static int is_never_stored(const reading_t *r)
{
    return r->group == NEVER ||
           (r->group == IF_PLAIN && r->said.s_maxage < 0 && r->said.max_age < 0);
}

static devcache_reason_e judge_message(const devcache_policy_conf_t *conf,
                                       const devcache_request_t *req, const reading_t *r)
{
    if (framing_conflicts(r->headers)) {
        return DEVCACHE_REASON_CONFLICT;
    }
    if (is_part(r)) {
        return DEVCACHE_REASON_PARTIAL; /* RFC 9111 section 3.3 is not made use of */
    }
    return is_never_stored(r)          ? DEVCACHE_REASON_STATUS
           : is_provoked(conf, req, r) ? DEVCACHE_REASON_PROVOKED
                                       : DEVCACHE_REASON_NONE;
}

/* --- permission ------------------------------------------------------------------- */

/* Is a field listed in no-cache="..." or private="...", and so not stored? */
static int is_listed(const devcache_directives_t *said, const char *lower)
{
    devcache_slice_t name;
    int i;

    for (i = 0; said->listed && i < said->listed->nelts; i++) {
        const char *cursor = APR_ARRAY_IDX(said->listed, i, const char *);
        while (devcache_field_next(&cursor, &name)) {
            if (devcache_field_is(name, lower)) {
                return 1;
            }
        }
    }
    return 0;
}

static int sets_cookie(const reading_t *r)
{
    return (has(r->headers, "Set-Cookie") && !is_listed(&r->said, "set-cookie")) ||
           (has(r->headers, "Set-Cookie2") && !is_listed(&r->said, "set-cookie2"));
}

/* Clear-Site-Data is an order to one browser. What it may order are strings in quotes; a
 * field without any orders nothing. */
static int clears_site_data(const reading_t *r)
{
    const char *line;
    int at = 0;

    if (!has(r->headers, "Clear-Site-Data")) {
        return 0;
    }
    while ((line = devcache_field_line(r->headers, "Clear-Site-Data", &at))) {
        if (strchr(line, '"')) {
            return 1;
        }
    }
    return 0;
}

/* RFC 9111 section 3.5. An s-maxage of 0 may be a malformed one: no permission. */
static int is_shareable(const devcache_directives_t *said)
{
    return said->is_public || said->must_revalidate || said->s_maxage > 0;
}

static devcache_reason_e judge_permission(const devcache_policy_conf_t *conf,
                                          const devcache_request_t *req,
                                          const reading_t *r)
{
    if (r->said.malformed) {
        return DEVCACHE_REASON_CONFLICT;
    }
    /* RFC 9111 section 5.2.2.3: must-understand puts no-store aside for caches that
     * understand the status, and keeps all others from storing. */
    if (r->said.must_understand && !is_understood(r->status)) {
        return DEVCACHE_REASON_STATUS;
    }
    if ((r->said.no_store && !r->said.must_understand) || r->forbidden) {
        return DEVCACHE_REASON_NO_STORE;
    }
    if (r->said.is_private) {
        return DEVCACHE_REASON_PRIVATE;
    }
    if (req->authorization && !is_shareable(&r->said)) {
        return DEVCACHE_REASON_AUTHORIZATION;
    }
    if (!conf->store_set_cookie && sets_cookie(r)) {
        return DEVCACHE_REASON_SET_COOKIE;
    }
    if (clears_site_data(r)) {
        return DEVCACHE_REASON_CLEAR_SITE_DATA;
    }
    return DEVCACHE_REASON_NONE;
}

/* --- freshness -------------------------------------------------------------------- */

static apr_interval_time_t at_most(apr_interval_time_t v, apr_interval_time_t max)
{
    return v < max ? v : max;
}

static apr_interval_time_t at_least(apr_interval_time_t v, apr_interval_time_t min)
{
    return v > min ? v : min;
}

/* RFC 9111 section 4.2.3: corrected_initial_age. Date knows whole seconds only, so the
 * instant of receipt is cut to them as well; and if just one has ended since, that says
 * nothing: an answer with max-age=1 would be old on arrival whenever a second ends while
 * it is under way. */
static apr_interval_time_t initial_age(const reading_t *r, apr_time_t requested_at,
                                       apr_time_t received_at)
{
    apr_int64_t age = devcache_field_age(r->headers);
    apr_interval_time_t delay = at_least(received_at - requested_at, 0);
    apr_time_t received_second = apr_time_from_sec(apr_time_sec(received_at));
    apr_interval_time_t apparent = received_second - r->date;
    apr_interval_time_t corrected = apr_time_from_sec(age < 0 ? 0 : age) + delay;

    if (apparent <= APR_USEC_PER_SEC) {
        apparent = 0;
    }
    return at_most(at_least(apparent, corrected), LIFETIME_MAX);
}

/* RFC 9111 section 4.2.1, a shared cache's order. */
static apr_interval_time_t explicit_lifetime(const reading_t *r, apr_time_t received_at)
{
    apr_time_t expires;

    if (r->said.s_maxage >= 0) {
        return apr_time_from_sec(r->said.s_maxage);
    }
    if (r->said.max_age >= 0) {
        return apr_time_from_sec(r->said.max_age);
    }
    if (r->said.expires_at >= 0) {
        expires = apr_time_from_sec(r->said.expires_at);
    } else if (!get_date(r->headers, "Expires", received_at, &expires)) {
        return 0; /* section 5.3: an invalid date, "0" above all, lies in the past */
    }
    if (expires <= r->date) {
        return 0;
    }
    return at_most(expires - r->date, LIFETIME_MAX);
}

/* A failure of the moment, about which Last-Modified and "public" say nothing: they are
 * left over from the page that should have come. */
static int is_failure(int status)
{
    return status == 500 || (status >= 502 && status <= 504);
}

/* RFC 9111 section 4.2.2. Not with a query, as such pages are often made on demand;
 * not for a status outside the group unless the origin says "public". */
static int may_guess(const reading_t *r, int has_query)
{
    int marked = r->said.is_public && !is_failure(r->status);

    return !has_query && (r->group == BY_DEFAULT || marked);
}

/* 0: there is nothing to guess from. */
static apr_interval_time_t heuristic_lifetime(const devcache_policy_conf_t *conf,
                                              const reading_t *r, int has_query)
{
    apr_time_t modified;

    if (!conf->heuristic_percent || !may_guess(r, has_query) ||
        !get_date(r->headers, "Last-Modified", r->date, &modified)) {
        return 0;
    }
    return at_most(at_least(r->date - modified, 0) / 100 * conf->heuristic_percent,
                   conf->heuristic_max);
}

/* The one of @a ttls (of devcache_ttl_t) that is for the response's status, or NULL. */
static const devcache_ttl_t *ttl_for(const apr_array_header_t *ttls, const reading_t *r)
{
    const devcache_ttl_t *general = NULL;
    int i, k;

    for (i = ttls ? ttls->nelts - 1 : -1; i >= 0; i--) {
        const devcache_ttl_t *ttl = &APR_ARRAY_IDX(ttls, i, devcache_ttl_t);
        for (k = 0; ttl->statuses && k < ttl->statuses->nelts; k++) {
            if (APR_ARRAY_IDX(ttl->statuses, k, int) == r->status) {
                return ttl;
            }
        }
        general = !general && !ttl->statuses ? ttl : general;
    }
    return r->group == BY_DEFAULT ? general : NULL;
}

/* Who states the lifetime, and how long it is before bounds: the order of the essay
 * above. */
static void find_stated(const devcache_policy_conf_t *conf, const reading_t *r,
                        int has_query, apr_time_t received_at, devcache_lifetime_t *out)
{
    const devcache_ttl_t *forced = ttl_for(conf->force_ttl, r);
    const devcache_ttl_t *given = forced ? forced : ttl_for(conf->default_ttl, r);

    if (forced || (!r->explicit_ttl && given && given->ttl > 0)) {
        out->by = forced ? DEVCACHE_LIFETIME_FORCED : DEVCACHE_LIFETIME_DEFAULT;
        out->said_by = given->said_by;
        out->lifetime = given->ttl;
    } else if (r->explicit_ttl) {
        out->by = r->said.s_maxage >= 0  ? DEVCACHE_LIFETIME_S_MAXAGE
                  : r->said.max_age >= 0 ? DEVCACHE_LIFETIME_MAX_AGE
                                         : DEVCACHE_LIFETIME_EXPIRES;
        out->targeted = r->targeted;
        out->lifetime = explicit_lifetime(r, received_at);
        out->raised = out->lifetime < conf->min_ttl;
    } else {
        out->lifetime = heuristic_lifetime(conf, r, has_query);
        out->by = out->lifetime > 0 ? DEVCACHE_LIFETIME_HEURISTIC
                                    : DEVCACHE_LIFETIME_NONE;
    }
}

static void find_lifetime(const devcache_policy_conf_t *conf, const reading_t *r,
                          int has_query, apr_time_t received_at, devcache_lifetime_t *out)
{
    memset(out, 0, sizeof(*out));
    find_stated(conf, r, has_query, received_at, out);
    if (out->raised) {
        out->lifetime = conf->min_ttl;
    }
    out->lowered = conf->max_ttl >= 0 && out->lifetime > conf->max_ttl;
    if (out->lowered) {
        out->lifetime = conf->max_ttl;
    }
}

/* The lifetime; *ptold: what of it somebody stands for, 0 where nobody does. */
static void set_lifetime(const devcache_policy_conf_t *conf, const reading_t *r,
                         int has_query, devcache_freshness_t *out,
                         apr_interval_time_t *ptold)
{
    devcache_lifetime_t l;
    int own;

    find_lifetime(conf, r, has_query, out->received_at, &l);
    own = l.by == DEVCACHE_LIFETIME_FORCED || l.by == DEVCACHE_LIFETIME_DEFAULT;
    *ptold = l.lifetime;
    out->lifetime = l.lifetime + (own ? out->initial_age : 0);
    if (l.by == DEVCACHE_LIFETIME_FORCED) {
        out->flags &= ~DEVCACHE_NO_CACHE;
    }
    if (l.by == DEVCACHE_LIFETIME_HEURISTIC && l.lifetime > 0) {
        out->flags |= DEVCACHE_HEURISTIC;
    }
    /* "public" and s-maxage are words to caches like this one, whoever has said them. */
    if (l.lifetime > 0 && (own || l.by == DEVCACHE_LIFETIME_HEURISTIC || l.raised) &&
        !r->said.is_public && r->said.s_maxage < 0) {
        out->flags |= DEVCACHE_OWN_LIFETIME;
    }
}

void devcache_policy_lifetime(const devcache_policy_conf_t *conf, int status,
                              const apr_table_t *headers, int has_query,
                              apr_time_t received_at, devcache_lifetime_t *out,
                              apr_pool_t *p)
{
    reading_t r;

    read_response(&r, conf, status, headers, received_at, p);
    find_lifetime(conf, &r, has_query, received_at, out);
}

static unsigned flags(const devcache_directives_t *said)
{
    unsigned set = 0;

    set |= said->must_revalidate || said->proxy_revalidate ? DEVCACHE_MUST_REVALIDATE : 0;
    set |= said->no_cache ? DEVCACHE_NO_CACHE : 0;
    set |= said->immutable ? DEVCACHE_IMMUTABLE : 0;
    set |= is_shareable(said) ? DEVCACHE_SHAREABLE : 0;
    return set;
}

/* The window that counts, as if the response stated it; -1: it states none. */
static apr_interval_time_t stated_window(apr_interval_time_t ours, int replaces,
                                         apr_int64_t said, apr_interval_time_t told)
{
    if (replaces) {
        return told > 0 ? at_least(ours, 0) : 0;
    }
    return said < 0 ? -1 : apr_time_from_sec(said);
}

/* For how long after its end may it be shown? The response's own word counts unless it
 * contradicts that itself; where the administrator has put his in its place, that; ours only for what has been everybody's page for a while, and
 * not where s-maxage takes the place of it, which has proxy-revalidate's meaning in it
 * (RFC 9111 section 5.2.2.10). */
static void set_windows(const devcache_policy_conf_t *conf, const reading_t *r,
                        apr_interval_time_t told, devcache_freshness_t *out)
{
    const unsigned never = DEVCACHE_MUST_REVALIDATE | DEVCACHE_NO_CACHE;
    int ours = !(out->flags & never) && r->said.s_maxage < 0 && told > 0;
    apr_interval_time_t swr = stated_window(conf->stale_while_revalidate,
                                            conf->swr_replaces,
                                            r->said.stale_while_revalidate, told);
    apr_interval_time_t sie = stated_window(conf->stale_if_error, conf->sie_replaces,
                                            r->said.stale_if_error, told);

    out->stale_while_revalidate = ours ? at_least(conf->stale_while_revalidate, 0) : 0;
    out->stale_if_error = ours ? at_least(conf->stale_if_error, 0) : 0;
    if (!(out->flags & never) && swr >= 0) {
        out->stale_while_revalidate = swr;
    }
    if (!(out->flags & never) && sie >= 0) {
        out->stale_if_error = sie;
    }
    out->flags |= ours ? 0 : DEVCACHE_MUST_REVALIDATE;
}

static void set_freshness(const devcache_policy_conf_t *conf, const reading_t *r,
                          int has_query, apr_time_t requested_at, apr_time_t received_at,
                          devcache_freshness_t *out)
{
    apr_interval_time_t told;

    out->requested_at = requested_at;
    out->received_at = received_at;
    out->initial_age = initial_age(r, requested_at, received_at);
    out->flags = flags(&r->said);
    set_lifetime(conf, r, has_query, out, &told);
    set_windows(conf, r, told, out);
}

/* --- use -------------------------------------------------------------------------- */

/* Would a copy ever be served? A validator always gives it a chance. */
static devcache_reason_e judge_use(const reading_t *r, const devcache_freshness_t *f)
{
    apr_interval_time_t grace = at_least(f->stale_while_revalidate, f->stale_if_error);
    int fresh = f->lifetime > f->initial_age;

    if ((f->flags & DEVCACHE_NO_CACHE) && !r->validator) {
        return DEVCACHE_REASON_MUST_VALIDATE;
    }
    if ((r->group == IF_EXPLICIT || r->group == IF_PLAIN) && !fresh &&
        !(r->said.is_public && r->status < 400)) {
        /* Nor may a stale error page take the place of a page that can be validated. */
        return r->explicit_ttl ? DEVCACHE_REASON_EXPIRED : DEVCACHE_REASON_STATUS;
    }
    if (r->validator) {
        return DEVCACHE_REASON_NONE;
    }
    if (fresh || (r->explicit_ttl && f->lifetime + grace > f->initial_age)) {
        return DEVCACHE_REASON_NONE;
    }
    return r->explicit_ttl ? DEVCACHE_REASON_EXPIRED : DEVCACHE_REASON_NO_FRESHNESS;
}

devcache_reason_e devcache_policy_storable(const devcache_policy_conf_t *conf,
                                           const devcache_request_t *req, int status,
                                           const apr_table_t *headers, int has_query,
                                           apr_int64_t length, apr_time_t requested_at,
                                           apr_time_t received_at,
                                           devcache_freshness_t *out, apr_pool_t *p)
{
    reading_t r;
    devcache_reason_e reason = req->bypass;

    if (reason == DEVCACHE_REASON_NONE && length > conf->max_object_size) {
        reason = DEVCACHE_REASON_TOO_LARGE;
    }
    if (reason == DEVCACHE_REASON_NONE) {
        reason = judge_lines(headers); /* before anything else looks at them */
    }
    if (reason != DEVCACHE_REASON_NONE) {
        return reason;
    }
    read_response(&r, conf, status, headers, received_at, p);
    reason = judge_message(conf, req, &r);
    if (reason == DEVCACHE_REASON_NONE) {
        reason = judge_permission(conf, req, &r);
    }
    if (reason == DEVCACHE_REASON_NONE) {
        set_freshness(conf, &r, has_query, requested_at, received_at, out);
        reason = judge_use(&r, out);
    }
    return reason;
}

int devcache_policy_is_endless(const char *content_type)
{
    static const char *const types[] = {"text/event-stream", "multipart/x-mixed-replace"};
    apr_size_t i;

    for (i = 0; content_type && i < sizeof types / sizeof types[0]; i++) {
        apr_size_t len = strlen(types[i]);
        const char *at = content_type + strspn(content_type, " \t");

        if (!((*at ^ *types[i]) & 31) && !strncasecmp(at, types[i], len) &&
            (!at[len] || strchr("; \t,", at[len]))) {
            return 1;
        }
    }
    return 0;
}
