/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All directives: one row each.
 *
 * A row names the directive, what sets its field, where it may stand, and what httpd -L
 * prints about it. Numbers and flags need nothing else: the row says which field of
 * setup/conf.h it is, whether of a server (S: in the server and in virtual hosts) or of a
 * directory (L: also in <Location>, <Directory>, <If>), and the bounds. All others have a
 * setter in setup/setters.c. conf/devcache.conf and docs/directives.md have each of them,
 * with the default that stands in setup/conf.h; t/90-guards.t compares the three.
 */
#include "setup/directives.h"

#include <stddef.h>
#include "setup/conf.h"
#include "setup/machines.h"
#include "setup/setters.h"
#include "setup/value.h"

#define S RSRC_CONF
#define L (RSRC_CONF | ACCESS_CONF)

#define WHERE_server S
#define WHERE_dir L
#define PER_DIR_server 0
#define PER_DIR_dir 1

/* The field of a directive, its unit and bounds; conf: server or dir. */
#define SLOT(unit, conf, field, min, max)                                                \
    (void *)&(const devcache_slot_t)                                                     \
    {                                                                                    \
        PER_DIR_##conf,                                                                  \
            offsetof(devcache_##conf##_t,                                                \
                     field), /* NOLINTNEXTLINE(bugprone-sizeof-expression) */            \
            sizeof(((devcache_##conf##_t *)0)->field),                                   \
            offsetof(devcache_##conf##_t, field##_by), DEVCACHE_UNIT_##unit, min, max    \
    }
#define NUMBER(name, unit, conf, field, min, max, help)                                  \
    AP_INIT_TAKE1(name, devcache_value_set_number, SLOT(unit, conf, field, min, max),    \
                  WHERE_##conf, help)
#define BYTES(name, conf, field, min, max, help)                                         \
    NUMBER(name, BYTES, conf, field, min, max, help)
#define COUNT(name, conf, field, min, max, help)                                         \
    NUMBER(name, COUNT, conf, field, min, max, help)
#define SECONDS(name, conf, field, max, help)                                            \
    NUMBER(name, SECONDS, conf, field, 0, max, help)
#define FLAG(name, conf, field, help)                                                    \
    AP_INIT_FLAG(name, devcache_value_set_flag, SLOT(COUNT, conf, field, 0, 1),          \
                 WHERE_##conf, help)
#define TTL(name, conf, field, help)                                                     \
    AP_INIT_TAKE_ARGV(name, devcache_set_ttl, SLOT(SECONDS, conf, field, 0, TTL_MAX),    \
                      WHERE_##conf, help)

#define WINDOW(name, conf, field, help)                                                  \
    AP_INIT_TAKE_ARGV(name, devcache_set_window, SLOT(SECONDS, conf, field, 0, TTL_MAX), \
                      WHERE_##conf, help)

/* Offsets of a path and of its _by pointer. */
#define TIER_FILE(field)                                                                 \
    (void *)&(const devcache_tier_file_t)                                                \
    {                                                                                    \
        offsetof(devcache_server_t, field), offsetof(devcache_server_t, field##_by)      \
    }

#define TERA (APR_INT64_C(1) << 40)
#define TTL_MAX (10 * 365 * 86400) /* seconds */

/* A directive of an earlier version: the start says what to write instead. */
static const char *refuse_gone(cmd_parms *cmd, void *dir, const char *args)
{
    return cmd->info;
}

#define GONE(name, sentence)                                                             \
    AP_INIT_RAW_ARGS(name, refuse_gone, (void *)(name " " sentence), L, "gone")

const command_rec devcache_directives[] = {
    AP_INIT_TAKE1("DevCacheRoot", devcache_set_root, NULL, S,
                  "directory for stored responses; must exist and belong to User"),
    BYTES("DevCacheSize", server, size, 512 << 10, 256 * TERA,
          "bound of the disk tier, bytes; K, M, G, T may follow"),
    BYTES("DevCacheMinFree", server, min_free, 0, 256 * TERA,
          "leave at least this many bytes free on the file system"),
    BYTES("DevCacheMemory", server, memory, 0, TERA,
          "memory of each child for what is asked for most, bytes; 0: none"),
    COUNT("DevCacheMaxObjects", server, max_objects, 64, 1 << 30,
          "bound on the number of stored responses"),
    BYTES("DevCacheSegmentSize", server, segment_size, 64 << 10, 1 << 30,
          "size of one segment file, bytes"),
    AP_INIT_TAKE1(
        "DevCache", devcache_set_enabled, NULL, L,
        "On, Off or Observe: use the cache here, or only count what it would do"),
    BYTES("DevCacheMaxObjectSize", dir, max_object_size, 1, TERA,
          "store no response body larger than this, bytes"),
    FLAG("DevCacheClassify", server, classify,
         "On or Off: classify devices, also without caching"),
    AP_INIT_TAKE1("DevCacheDeviceHeader", devcache_set_device_header, NULL, S,
                  "request header that tells the origin the class, or off"),
    AP_INIT_TAKE2("DevCacheDeviceRule", devcache_set_device_rule, NULL, S,
                  "class and regular expression for the User-Agent"),
    AP_INIT_TAKE_ARGV("DevCacheDeviceFold", devcache_set_device_fold, NULL, S,
                      "from to [from to ...]: show a class as another, or off"),
    AP_INIT_TAKE1("DevCacheDeviceCookie", devcache_set_device_cookie, NULL, S,
                  "cookie by which a visitor chooses a class"),
    AP_INIT_TAKE1("DevCacheClientHints", devcache_set_client_hints, NULL, S,
                  "On, Off or Critical: let Client Hints refine the class"),
    FLAG("DevCacheViewerHeaders", server, viewer_headers,
         "On or Off: send CloudFront-Is-*-Viewer to the origin"),
    FLAG("DevCacheVaryDevice", dir, vary_device,
         "On or Off: split every response by device class"),
    AP_INIT_TAKE1("DevCacheVaryUserAgent", devcache_set_vary_user_agent, NULL, L,
                  "device or exact: what an origin's Vary: User-Agent means"),
    COUNT("DevCacheMaxVariants", dir, max_variants, 1, 1024, "variants stored per URL"),
    TTL("DevCacheDefaultTTL", dir, default_ttl,
        "seconds [status ...]: freshness where the origin states none; several add up"),
    AP_INIT_TAKE_ARGV(
        "DevCacheHeuristic", devcache_set_heuristic,
        SLOT(SECONDS, dir, heuristic_max, 0, TTL_MAX), L,
        "percent [max] of the time since Last-Modified, where nobody states "
        "a lifetime; or off"),
    SECONDS("DevCacheMinTTL", dir, min_ttl, TTL_MAX,
            "lower bound of explicit freshness, seconds"),
    SECONDS("DevCacheMaxTTL", dir, max_ttl, TTL_MAX, "upper bound of freshness, seconds"),
    TTL("DevCacheForceTTL", dir, force_ttl,
        "seconds [status ...]: replace the origin's freshness; several add up"),
    WINDOW("DevCacheStaleWhileRevalidate", dir, stale_while_revalidate,
           "seconds to serve stale while refreshing, where the origin states none; ! in "
           "place of what it states"),
    WINDOW("DevCacheStaleIfError", dir, stale_if_error,
           "seconds [status ...] to serve stale on errors, where the origin states none; "
           "! in place of what it states"),
    SECONDS("DevCacheStaleIfUnreachable", dir, stale_if_unreachable, TTL_MAX,
            "seconds to serve stale when the origin gives no answer at all"),
    FLAG("DevCacheIgnoreClientControl", dir, ignore_client_control,
         "On or Off: ignore the request's Cache-Control and Pragma"),
    FLAG("DevCacheStoreSetCookie", dir, store_set_cookie,
         "On or Off: store responses that set cookies"),
    AP_INIT_TAKE_ARGV(
        "DevCacheQuery", devcache_set_query, NULL, L,
        "keep, sort, ignore, allow names or deny names: the query in the key"),
    FLAG("DevCacheNoVarySearch", dir, no_vary_search,
         "On or Off: responses say which parameters of the query do not count"),
    AP_INIT_TAKE_ARGV(
        "DevCacheEncodings", devcache_set_encodings, NULL, L,
        "codings, the dearest first, or keep: what the origin is asked for"),
    AP_INIT_TAKE_ARGV(
        "DevCacheCookies", devcache_set_cookies, NULL, L,
        "keep, allow names or deny names: the cookies that pages depend on"),
    AP_INIT_TAKE_ARGV("DevCacheKnownHeaders", devcache_set_known_headers, NULL, S,
                      "request headers that pages do not depend on; * at the end of one"),
    AP_INIT_TAKE_ARGV("DevCacheTargets", devcache_set_targets, NULL, L,
                      "targeted cache-control fields (RFC 9213), best first, or off"),
    AP_INIT_TAKE_ARGV("DevCacheNormalize", devcache_set_normalize, NULL, L,
                      "a request header and the values of it that make another page"),
    AP_INIT_TAKE_ARGV("DevCacheKeyHeaders", devcache_set_key_headers, NULL, L,
                      "request headers whose values make another page each"),
    AP_INIT_TAKE1("DevCacheBypass", devcache_set_bypass, NULL, L,
                  "expression; where true the cache is not used"),
    SECONDS("DevCacheRefreshAhead", dir, refresh_ahead, TTL_MAX,
            "refresh in the background what is asked for so many seconds before it "
            "expires; 0: not"),
    FLAG("DevCacheEarlyHints", dir, early_hints,
         "On or Off: over HTTP/2, tell what a stale page links to while the origin is "
         "asked"),
    FLAG("DevCacheFetchWhole", dir, fetch_whole,
         "On or Off: fetch in the background what a part of was asked for"),
    AP_INIT_TAKE1(
        "DevCacheHead", devcache_set_head, NULL, L,
        "get or pass: how the origin is asked for a HEAD of what is not stored"),
    AP_INIT_TAKE1("DevCacheSlice", devcache_set_slice,
                  SLOT(BYTES, dir, slice, 64 << 10, 64 << 20), L,
                  "bytes of the slices that responses are fetched and stored in; or off"),
    AP_INIT_TAKE1(
        "DevCacheFragments", devcache_set_fragments, NULL, L,
        "On, Off, SSI or ESI: put pages together from parts, each cached on its own"),
    FLAG("DevCacheCollapse", dir, collapse,
         "On or Off: ask the origin once for all who want the same now"),
    SECONDS("DevCacheCollapseWait", dir, collapse_wait, 3600,
            "seconds to wait for another request's answer, then ask the origin"),
    AP_INIT_TAKE1(
        "DevCacheFinish", devcache_set_finish, SLOT(SECONDS, dir, finish, 0, 3600), L,
        "seconds that a fetch goes on when all who wanted it have left, or always"),
    COUNT("DevCacheCollapseMax", server, collapse_max, 0, 1 << 20,
          "threads of one child that may wait so at once; 0: all of them"),
    FLAG("DevCacheStatusHeader", dir, status_header,
         "On or Off: send Cache-Status (RFC 9211)"),
    AP_INIT_TAKE_ARGV("DevCacheTagHeader", devcache_set_tag_header, NULL, L,
                      "response headers with tags to purge by, or off; + before one that "
                      "clients are sent, too"),
    AP_INIT_TAKE_ARGV("DevCacheTier", devcache_set_tier, NULL, S,
                      "Redis servers by which several machines share purges, or off"),
    AP_INIT_TAKE1("DevCacheTierSecret", devcache_set_tier_file, TIER_FILE(tier_secret), S,
                  "file with the password for the servers"),
    AP_INIT_TAKE1("DevCacheTierKey", devcache_set_tier_file, TIER_FILE(tier_key), S,
                  "file with the key that purges and objects are signed with"),
    AP_INIT_TAKE1("DevCacheTierCA", devcache_set_tier_file, TIER_FILE(tier_ca), S,
                  "file with the certificates that vouch for servers of rediss://"),
    AP_INIT_TAKE1("DevCacheTierCertificate", devcache_set_tier_file,
                  TIER_FILE(tier_certificate), S,
                  "file with a certificate and its key, to show to servers of rediss://"),
    AP_INIT_TAKE1("DevCacheTierName", devcache_set_tier_name, NULL, S,
                  "what the names of all keys on the servers begin with"),
    AP_INIT_TAKE1("DevCacheTierUse", devcache_set_tier_use, NULL, S,
                  "purge, objects or locks: what the machines share, each with those "
                  "before it"),
    BYTES("DevCacheTierMaxObject", server, tier_max_object, 1024, 1 << 20,
          "largest object that the machines share, bytes; K, M may follow"),
    BYTES("DevCacheTierQueue", server, tier_queue, 1 << 20, TERA,
          "bound of what waits in a child to be put on a server, bytes"),
    AP_INIT_TAKE12("DevCacheTierTimeout", devcache_set_tier_timeout, NULL, S,
                   "milliseconds to connect, and for an answer"),
    FLAG("DevCacheTierInvalidate", server, tier_invalidate,
         "On or Off: what a POST invalidates goes on the other machines too"),
    AP_INIT_TAKE1("DevCachePurge", devcache_set_purge, NULL, L,
                  "On, Off or Path: let PURGE requests remove what is stored"),
    GONE("DevCacheQuick",
         "is gone, as its hits came before access control: remove the line, and where "
         "its speed is wanted write 'DevCache On' in the virtual host, outside of "
         "<Location>"),
    {NULL}};
