/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file http/reason.h
 * Why something was not stored or not reused: the one list that logs, the access log,
 * counters, explanations and the status page show.
 *
 * A new reason goes to the end: counters are indexed by it.
 */
#ifndef DEVCACHE_HTTP_REASON_H
#define DEVCACHE_HTTP_REASON_H

/* When a reason counts: it keeps a request from using the cache at all, a stored response
 * from answering it, or an answer of the origin from being stored. */
typedef enum devcache_reason_kind_e {
    DEVCACHE_REASON_KIND_BYPASS,
    DEVCACHE_REASON_KIND_LOOKUP,
    DEVCACHE_REASON_KIND_STORE
} devcache_reason_kind_e;

/* Name, when it counts, text for logs (stable), meaning, what to do. */
/* clang-format off */
#define DEVCACHE_REASONS(R) \
    R(NONE, LOOKUP, "-", \
      "nothing stands against it", \
      "") \
    R(METHOD, BYPASS, "method", \
      "neither GET nor HEAD", \
      "normal; only answers to GET and HEAD are stored") \
    R(REQ_BODY, BYPASS, "request-body", \
      "a GET or HEAD with a body", \
      "normal") \
    R(REQ_NO_STORE, BYPASS, "request-no-store", \
      "the request says no-store", \
      "DevCacheIgnoreClientControl On ignores what clients say") \
    R(REQ_RANGE, LOOKUP, "range", \
      "a part was asked for, none is stored", \
      "DevCacheFetchWhole On fetches the whole in the background") \
    R(REQ_PRECOND, LOOKUP, "precondition", \
      "If-Match or If-Unmodified-Since, none stored", \
      "normal") \
    R(REQ_OVERRIDE, BYPASS, "override-header", \
      "a header that may change what is served", \
      "if your load balancer sets it: DevCacheKeyHeaders with its name") \
    R(REQ_UPGRADE, BYPASS, "upgrade", \
      "the request asks for another protocol", \
      "normal; WebSockets are such requests") \
    R(AUTHORIZATION, STORE, "authorization", \
      "Authorization without permission to share", \
      "if such pages are for all: Header merge Cache-Control public") \
    R(STATUS, STORE, "status", \
      "status not understood or not cacheable", \
      "let the application say s-maxage, or DevCacheDefaultTTL with the status") \
    R(PARTIAL, STORE, "partial", \
      "206 or Content-Range", \
      "DevCacheFetchWhole On fetches the whole in the background") \
    R(NO_STORE, STORE, "no-store", \
      "the response says no-store", \
      "the application forbids it: let it say s-maxage where a page is for all") \
    R(PRIVATE, STORE, "private", \
      "the response says private", \
      "the application forbids it: let it say s-maxage where a page is for all") \
    R(NO_FRESHNESS, STORE, "no-freshness", \
      "neither a lifetime nor a validator", \
      "let the application say s-maxage, or DevCacheDefaultTTL") \
    R(SET_COOKIE, STORE, "set-cookie", \
      "the response sets a cookie", \
      "let the application set cookies only where they are needed") \
    R(VARY_STAR, STORE, "vary-star", \
      "Vary: *", \
      "let the application name the fields that it looks at") \
    R(VARY_LIMIT, STORE, "vary-limit", \
      "Vary too long or too many names", \
      "let the application name fewer fields") \
    R(CONFLICT, STORE, "conflicting-fields", \
      "contradicting or malformed framing or cache fields", \
      "mend what the application sends; the error log names the URL") \
    R(HEADERS_LIMIT, STORE, "headers-limit", \
      "response header section too large", \
      "let the application send fewer or shorter fields") \
    R(TOO_LARGE, STORE, "too-large", \
      "larger than DevCacheMaxObjectSize", \
      "DevCacheMaxObjectSize") \
    R(INCOMPLETE, STORE, "incomplete", \
      "the body ended early or had an error", \
      "the origin broke off: look into its log") \
    R(ENDLESS, STORE, "endless", \
      "an answer without an end: events, pictures in a row, or longer under way than fresh", \
      "normal for events; others: let the application say a Content-Length") \
    R(ABANDONED, STORE, "abandoned", \
      "all who wanted it left before it had come", \
      "DevCacheFinish has it fetched to its end all the same") \
    R(EXPIRED, STORE, "expired", \
      "stale on arrival, without a validator", \
      "let the application say a longer s-maxage; compare the clocks") \
    R(STALE, LOOKUP, "stale", \
      "no longer fresh", \
      "normal; stale-while-revalidate spares visitors the wait") \
    R(REQ_NO_CACHE, LOOKUP, "request-no-cache", \
      "the request says no-cache or Pragma", \
      "visitors reload; DevCacheIgnoreClientControl On ignores it") \
    R(REQ_MAX_AGE, LOOKUP, "request-max-age", \
      "older than the request allows", \
      "visitors reload; DevCacheIgnoreClientControl On ignores it") \
    R(REQ_MIN_FRESH, LOOKUP, "request-min-fresh", \
      "not fresh for as long as the request asks", \
      "DevCacheIgnoreClientControl On ignores it") \
    R(MUST_VALIDATE, LOOKUP, "no-cache", \
      "no-cache: validated at each use, if it can be", \
      "the application asks for it by no-cache") \
    R(BYPASS, BYPASS, "bypass", \
      "DevCacheBypass is true", \
      "you have said so by DevCacheBypass") \
    R(STORE_ERROR, STORE, "store-error", \
      "the store could not keep it", \
      "look at the last errors and at the disk") \
    R(REMOVED, STORE, "removed", \
      "purged or invalidated during the fetch", \
      "normal") \
    R(VARY_MISMATCH, LOOKUP, "vary", \
      "stored, but not for a request like this", \
      "devcachectl explain names what differs; DevCacheNormalize folds values") \
    R(URI_MISS, LOOKUP, "uri-miss", \
      "nothing stored for this URL", \
      "normal at first; later DevCacheSize, or DevCacheQuery deny @tracking") \
    R(REDIRECTED, STORE, "internal-redirect", \
      "an internal redirect led to what is not cached", \
      "devcachectl explain names the redirect") \
    R(ONLY_IF_CACHED, LOOKUP, "only-if-cached", \
      "the client wants no fetch, none stored", \
      "normal") \
    R(TAGS, STORE, "tags", \
      "cache tags too many, too long or malformed", \
      "let the application send fewer or shorter tags") \
    R(PART, STORE, "part", \
      "put together from a part that failed or is not for all", \
      "devcachectl explain names the part") \
    R(ODD_REQUEST, STORE, "odd-request", \
      "the request has a field that is not ordinary", \
      "DevCacheKnownHeaders with the field, if pages do not depend on it") \
    R(COOKIE, STORE, "cookie", \
      "a cookie that counts, and a lifetime of our own", \
      "DevCacheCookies deny with the cookie, if pages do not depend on it") \
    R(STORE_AWAY, BYPASS, "store-away", \
      "DevCacheRoot cannot be used now", \
      "the error log (DC0213), ?ready and this page name the trouble; it is tried again") \
    R(CLEAR_SITE_DATA, STORE, "clear-site-data", \
      "the response says Clear-Site-Data", \
      "normal for a logout; let the application say it nowhere else") \
    R(DISGUISED, STORE, "media-type", \
      "a page or data under the name of a file, and a lifetime of our own", \
      "let the application answer 404 there, or say s-maxage where it is for all") \
    R(QUERY_RULE, STORE, "no-vary-search", \
      "its No-Vary-Search is another than the last one for this path", \
      "normal once after a change; else let the application say one for a path") \
    R(HEAD, STORE, "head", \
      "the answer to a HEAD has no body that could be stored", \
      "normal; a GET stores the page; or DevCacheHead get") \
    R(NO_SLICE, STORE, "no-slice", \
      "its slices have no strong ETag or Last-Modified to put them together by", \
      "let the origin send a strong ETag, or take DevCacheSlice away there") \
    R(PROVOKED, STORE, "provoked", \
      "an error that the request's own header may have provoked", \
      "normal; the same error to an ordinary request is stored") \
    R(ERROR_PAGE, STORE, "error-page", \
      "httpd's own error page, or its ErrorDocument, is sent", \
      "normal for what is not there; ProxyErrorOverride Off lets errors be stored")
/* clang-format on */

typedef enum devcache_reason_e {
#define R(name, kind, text, meaning, advice) DEVCACHE_REASON_##name,
    DEVCACHE_REASONS(R)
#undef R
        DEVCACHE_REASON_COUNT
} devcache_reason_e;

/** Is it the request's own doing, so that nothing follows for what is stored for others? */
static inline int devcache_reason_is_requests(devcache_reason_e reason)
{
    return reason == DEVCACHE_REASON_AUTHORIZATION ||
           reason == DEVCACHE_REASON_ODD_REQUEST || reason == DEVCACHE_REASON_COOKIE;
}

/** The stable text of a reason, static; "-" for NONE and for what is none. */
const char *devcache_reason_text(devcache_reason_e reason);

/** What it means, in a few words for people; static. */
const char *devcache_reason_meaning(devcache_reason_e reason);

/** What an administrator can do about it, a few words; "normal" where nothing is wrong. */
const char *devcache_reason_advice(devcache_reason_e reason);

devcache_reason_kind_e devcache_reason_kind(devcache_reason_e reason);

#endif
