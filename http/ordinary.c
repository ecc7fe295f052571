/* SPDX-License-Identifier: Apache-2.0 */
#include "http/ordinary.h"

#include <string.h>

#include "http/field.h"

/*
 * Ordinary requests.
 *
 * A list of dangerous fields is never complete, so it is turned round: what is stored for
 * all comes from ordinary requests, and those have fields of which it is known what
 * software does with them. The table has them all, by kind, each group with why:
 *
 *   known     pages are not made from it, or the key covers it, or who makes pages from it
 *             has to say so by Vary, and does
 *   form      the same URL in another form: a fragment, a fragment's data, a stream with
 *             titles in it. Few of these applications say Vary
 *   override  another scheme, host, path or method, or somebody's identity: what an origin
 *             makes of that is not the page of this URL
 *   device    tells the origin another device than the one that the page is stored for
 *   unknown   is what is not here, and the groups that stand here to say why they are
 *
 * What a response's Vary names, what DevCacheKeyHeaders names and what the configuration
 * sets itself is compared; then its kind does not matter. That is the caller's affair.
 *
 * Looking up. A name is hashed in lower case, with "-" for "_" (many origins make
 * variables of fields, where the two are one), and found in a table of names or, behind
 * that, among prefixes by their first letter. On a hit only the two kinds count that keep
 * a request from the store; three letters and the length
 * of a name are mostly enough to see that it has neither.
 */

typedef struct group_t {
    devcache_field_kind_e kind;
    const char *why;
    const char *names; /* with blanks between; "*" at the end of one for any ending */
} group_t;

#define KNOWN DEVCACHE_FIELD_KNOWN
#define FORM DEVCACHE_FIELD_FORM
#define OVERRIDE DEVCACHE_FIELD_OVERRIDE
#define DEVICE DEVCACHE_FIELD_DEVICE
#define UNKNOWN DEVCACHE_FIELD_UNKNOWN

static const group_t groups[] = {
    /* --- what HTTP and browsers say */
    {KNOWN, "a part of the key, or of the device class", "Host User-Agent"},
    {KNOWN, "about the message or the connection, not about the page",
     "Connection Keep-Alive Proxy-Connection TE Trailer Content-Length Transfer-Encoding "
     "Upgrade HTTP2-Settings Expect Max-Forwards Early-Data Alt-Used Priority "
     "Incremental"},
    {KNOWN, "what depends on it has to say so by Vary, and applications do",
     "Accept Accept-Charset Accept-Encoding Accept-Language Accept-Datetime Origin "
     "Available-Dictionary Dictionary-ID"},
    {KNOWN, "the cache answers it itself",
     "Range If-Range If-Match If-None-Match If-Modified-Since If-Unmodified-Since "
     "Cache-Control Pragma A-IM"},
    {KNOWN, "counted by rules of its own", "Cookie Authorization"},
    {KNOWN, "browsers send it with every request; pages are not made from it",
     "Referer DNT Sec-GPC Upgrade-Insecure-Requests Sec-Fetch-* Sec-CH-* Purpose "
     "Sec-Purpose Sec-Speculation-Tags Sec-Browsing-Topics X-Moz X-Purpose "
     "Service-Worker "
     "Attribution-Reporting-Eligible Attribution-Reporting-Support Cookie2 MS-CV "
     "X-Turbo-Request-Id X-Socket-Id"},
    {KNOWN, "crawlers and players say by it who they are and what they play",
     "From X-Playback-Session-Id CMCD-Request CMCD-Object CMCD-Session CMCD-Status"},
    {UNKNOWN,
     "some sites send less to who saves data or has a small screen, without Vary",
     "Save-Data DPR Width Viewport-Width Device-Memory RTT Downlink ECT"},
    {UNKNOWN, "a service worker may be sent a part of the page by it",
     "Service-Worker-Navigation-Preload"},
    {UNKNOWN, "radio servers put titles into the stream by it", "Icy-MetaData"},
    {UNKNOWN, "a page has nothing to do with it; origins answer it with errors",
     "Content-Type Content-Encoding Content-Language Content-Range Content-MD5"},

    /* --- what stands in front: balancers, meshes, CDNs */
    {KNOWN, "the visitor's address, which the cache never looks at",
     "X-Forwarded-For X-Real-IP X-Client-IP Client-IP X-Cluster-Client-IP "
     "True-Client-IP X-ProxyUser-IP Proxy-Client-IP WL-Proxy-Client-IP Z-Forwarded-For "
     "X-Original-Forwarded-For X-Original-For X-Forwarded-Client-IP X-Forwarded-By "
     "CF-Connecting-IP CF-Connecting-IPv6 CF-Pseudo-IPv4 Fastly-Client-IP "
     "Fastly-Temp-XFF "
     "CloudFront-Viewer-Address CloudFront-Viewer-ASN X-Azure-ClientIP X-Azure-SocketIP "
     "X-Envoy-External-Address X-Envoy-Internal X-Appengine-User-IP "
     "X-Vercel-Forwarded-For "
     "X-Vercel-Proxied-For Incap-Client-IP X-Sucuri-ClientIP X-NF-Client-Connection-IP "
     "X-IMForwards X-BlueCoat-Via Fly-Client-IP DO-Connecting-IP Ali-CDN-Real-IP"},
    {KNOWN, "names one request in logs and traces",
     "X-Request-ID Request-Id X-Correlation-ID Correlation-Id Correlation-Context "
     "Request-Context X-Client-Trace-Id X-Trace-Id X-Unique-ID X-Transaction-Id "
     "traceparent tracestate baggage b3 X-B3-* X-Amzn-Trace-Id X-Amzn-RequestId "
     "X-Cloud-Trace-Context grpc-trace-bin uber-trace-id sentry-trace X-Datadog-* "
     "newrelic "
     "X-NewRelic-* elastic-apm-traceparent X-OT-Span-Context X-Dynatrace CF-Ray "
     "CF-Worker "
     "CF-EW-Via X-Amz-Cf-Id X-Azure-Ref X-Azure-RequestChain X-Azure-FDID "
     "X-FD-HealthProbe "
     "X-Azure-InternalError X-ARR-LOG-ID X-Site-Deployment-Id X-Vercel-Id "
     "X-NF-Request-ID Fly-Request-ID X-Varnish X-Timer X-Request-Start X-Queue-Start "
     "X-Railway-Request-Id X-Kong-Request-Id X-SigSci-RequestID "
     "X-Appengine-Request-Log-Id "
     "EagleEye-TraceId Rndr-Id X-Instana-* singularityheader ot-tracer-* CDN-RequestId "
     "CDN-ConnectionId"},
    {KNOWN, "a hop's note about itself",
     "Via CDN-Loop X-NginX-Proxy Fastly-FF Fastly-Client Fastly-Orig-Accept-Encoding "
     "Akamai-Origin-Hop X-Akamai-Config-Log-Detail X-Haproxy-Server-State "
     "X-Envoy-Expected-Rq-Timeout-Ms X-Envoy-Attempt-Count X-Envoy-Decorator-Operation "
     "X-Envoy-Peer-Metadata X-Envoy-Peer-Metadata-Id X-Envoy-Upstream-* "
     "X-Envoy-Max-Retries "
     "X-Envoy-Retry-On X-Envoy-Retry-Grpc-On X-Envoy-Downstream-Service-Cluster "
     "X-Envoy-Downstream-Service-Node X-Envoy-Is-Timeout-Retry X-Envoy-Force-Trace "
     "CloudFront-Viewer-HTTP-Version CloudFront-Viewer-TLS "
     "CloudFront-Viewer-JA3-Fingerprint "
     "CloudFront-Viewer-JA4-Fingerprint CloudFront-Viewer-Header-Order "
     "CloudFront-Viewer-Header-Count X-Amzn-TLS-Version X-Amzn-TLS-Cipher-Suite "
     "X-Forwarded-TlsVersion X-Real-Port X-Forwarded-Src-Port Fly-Region X-Railway-Edge"},
    {UNKNOWN, "shops choose language, prices and taxes by the visitor's country",
     "CF-IPCountry CF-IPCity CF-IPContinent CF-IPLatitude CF-IPLongitude CF-Region "
     "CF-Region-Code CF-Metro-Code CF-Postal-Code CF-Timezone CloudFront-Viewer-Country "
     "CloudFront-Viewer-Country-Name CloudFront-Viewer-Country-Region "
     "CloudFront-Viewer-Country-Region-Name CloudFront-Viewer-City "
     "CloudFront-Viewer-Postal-Code CloudFront-Viewer-Time-Zone "
     "CloudFront-Viewer-Latitude CloudFront-Viewer-Longitude "
     "CloudFront-Viewer-Metro-Code "
     "X-Appengine-Country X-Appengine-Region X-Appengine-City X-Appengine-CityLatLong "
     "X-Client-Geo-Location X-Client-Region X-Akamai-Edgescape X-Vercel-IP-Country "
     "X-Vercel-IP-City X-Vercel-IP-Country-Region X-Vercel-IP-Continent X-Nf-Geo "
     "X-Sucuri-Country CDN-RequestCountryCode CDN-RequestStateCode "
     "X-Country-Code X-GeoIP-Country GeoIP-Country-Code MM-Country-Code "
     "Fastly-Geo-Country"},

    /* --- another scheme, host, path or method */
    {OVERRIDE, "applications take the scheme from it, and redirect or make links by that",
     "Forwarded X-Forwarded-Proto X-Forwarded-Protocol X-Forwarded-Scheme "
     "X-Forwarded-SSL "
     "X-Forwarded-HTTPS X-URL-Scheme X-Scheme X-HTTPS X-SSL Front-End-Https "
     "CloudFront-Forwarded-Proto CF-Visitor Fastly-SSL X-ARR-SSL X-AppService-Proto "
     "X-AppEngine-HTTPS WL-Proxy-SSL X-Forwarded-Port X-Original-Proto "
     "X-Client-Proto X-Envoy-Original-Scheme Fly-Forwarded-*"},
    {OVERRIDE, "applications take the host from it",
     "X-Forwarded-Host X-Forwarded-Server X-Host X-HTTP-Host-Override X-Original-Host "
     "X-Host-Override X-Backend-Host X-Envoy-Original-Dst-Host X-Envoy-Original-Host "
     "Disguised-Host WAS-Default-Hostname X-Vercel-Deployment-Url Proxy"},
    {OVERRIDE, "applications and gateways take the path from it",
     "X-Original-URL X-Original-URI X-Rewrite-URL X-Forwarded-Prefix X-Forwarded-Path "
     "X-Forwarded-URI X-Forwarded-URL X-Envoy-Original-Path X-Replaced-Path "
     "X-WAWS-Unencoded-URL Unencoded-Url IIS-WasUrlRewritten Script-Name X-Script-Name "
     "X-Accel-Mapping X-Sendfile-Type X-Auth-Request-Redirect"},
    {OVERRIDE, "Next.js, React Router, Nuxt and Astro take the route or its data from it",
     "X-Nextjs-* X-Middleware-* X-Next-* X-Now-* X-Invoke-* X-Matched-Path "
     "X-Prerender-Revalidate X-Prerender-Bypass X-Prerender-Bypass-Mode X-React-Router-* "
     "X-Remix-* X-Nuxt-* X-Nitro-* X-Astro-* X-Vercel-Internal-* X-Rsc-*"},
    {OVERRIDE, "frameworks take the method from it",
     "X-HTTP-Method-Override X-HTTP-Method X-Method-Override HTTP-Method-Override "
     "X-Original-Method X-Forwarded-Method"},
    {OVERRIDE, "chooses another shop, language or currency in the shop's own interface",
     "Store Content-Currency X-Magento-Cache-Id sw-*"},

    /* --- somebody's identity */
    {OVERRIDE, "gateways and applications know a visitor by it",
     "Proxy-Authorization X-Authorization X-Serverless-Authorization DPoP X-API-Key "
     "Api-Key "
     "apikey X-Auth-Token X-Auth-Key X-Auth-Email X-Auth-User X-Access-Token "
     "Access-Token "
     "X-Session-Token X-Session-Id X-User-Token X-Token Private-Token Job-Token "
     "X-Gitlab-Token X-Vault-Token X-Consul-Token X-Amz-Security-Token "
     "X-Shopify-Access-Token X-Shopify-Storefront-Access-Token Fastly-Key "
     "X-Forwarded-User X-Forwarded-Email X-Forwarded-Groups "
     "X-Forwarded-Preferred-Username "
     "X-Forwarded-Access-Token X-Auth-Request-* X-Remote-* Remote-* X-WebAuth-* "
     "X-Authenticated-* X-Authentik-* X-Pomerium-* X-Goog-Authenticated-User-* "
     "X-Goog-IAP-* "
     "X-Amzn-Oidc-* Cf-Access-* Tailscale-User-* X-MS-Client-Principal* X-MS-Token-* "
     "MS-ASPNETCORE-* OIDC-* X-Shib-* Shib-* SM-* SMUSER iv-* OAM-* X-User X-Username "
     "X-User-Id X-Vercel-Protection-Bypass X-Hasura-* X-Parse-*"},
    {OVERRIDE, "a certificate that the visitor has shown",
     "Client-Cert Client-Cert-Chain X-Client-Cert X-SSL-Client-* SSL-Client-* X-SSL-Cert "
     "X-Forwarded-Client-Cert X-Forwarded-Tls-Client-Cert* X-ARR-ClientCert "
     "X-Amzn-Mtls-* WL-Proxy-Client-Cert CF-Client-Cert-* X-Client-Dn X-Client-Verify"},
    {OVERRIDE, "a session's token, which some ask for by it",
     "X-CSRF-Token X-CSRFToken X-XSRF-Token X-WP-Nonce X-WC-* Cart-Token Nonce "
     "woocommerce-session"},

    /* --- the page in another form */
    {FORM, "applications answer it with a fragment or with data",
     "HX-* X-Up-* Turbo-Frame Turbolinks-Referrer X-Turbolinks-* X-XHR-Referer X-PJAX* "
     "X-Inertia* X-Livewire* X-Alpine-* X-Ajax X-October-Request-* X-Winter-Request-* "
     "X-Requested-Fragment X-Fragment X-SvelteKit-* X-Gatsby-* Wicket-* Faces-Request "
     "X-MicrosoftAjax X-Data-Star Datastar-Request X-Barba X-Swup-* Precognition*"},
    {FORM, "Next.js answers it with a part of the page as data",
     "RSC Next-Router-* Next-Url Next-Action Next-HMR-Refresh Next-Test-Fetch-Priority"},
    {FORM, "makes applications leave gaps for ESI", "Surrogate-Capability"},
    {FORM, "chooses the version of an interface",
     "Accept-Version Api-Version X-API-Version Stripe-Version OData-Version "
     "OData-MaxVersion DataServiceVersion MaxDataServiceVersion X-GitHub-Api-Version "
     "GData-Version"},

    /* --- another device */
    {DEVICE, "tells the origin another device than the page is stored for",
     "X-OperaMini-* Device-Stock-UA X-Device-User-Agent X-Original-User-Agent "
     "X-Original-UA X-Bolt-Phone-UA X-Skyfire-Phone X-UCBrowser-* X-Wap-Profile "
     "Wap-Profile Profile X-Nokia-* X-ATT-DeviceId X-Mobile-UA X-Forwarded-User-Agent "
     "User-Agent-Original X-User-Agent X-UA-Device X-UA-Compatible-Device X-Mobile-Group "
     "X-Is-Mobile X-Mobile X-Device X-Device-Type X-Device-Class X-Device-Group "
     "CF-Device-Type X-Akamai-Device-Characteristics CloudFront-Is-* Fastly-Device-Type "
     "UA-CPU UA-OS UA-Pixels UA-Color UA-Disp"},
};

#define GROUPS (sizeof groups / sizeof *groups)

/* --- the table in memory ------------------------------------------------------------ */

typedef struct entry_t {
    const char *name; /* as in its group; `len` bytes, without the "*" */
    unsigned short len, group;
} entry_t;

enum {
    NAMES_MAX = 704,
    PREFIXES_MAX = 96,
    SLOTS = 2048 /* a power of two, more than twice NAMES_MAX */
};

devcache_ordinary_start_t devcache_ordinary_starts[32][32];

static struct {
    entry_t name[NAMES_MAX], prefix[PREFIXES_MAX];
    int names, prefixes;
    unsigned short slot[SLOTS]; /* 1 + index of a name; 0: free */
    unsigned prefix_letters;    /* a bit for each first letter */
} table;

static char plain(char c)
{
    return c == '_' ? '-' : devcache_field_lower_char(c);
}

/* Of what is the same for two spellings of a name: its length, and three bits of each of
 * its last eight bytes, those in which neither the two cases of a letter differ nor "-" and
 * "_". */
static unsigned hash(const char *name, apr_size_t len)
{
    apr_uint64_t bytes = 0;

    memcpy(&bytes, len < sizeof bytes ? name : name + len - sizeof bytes,
           len < sizeof bytes ? len : sizeof bytes);
    bytes = (bytes & 0x0d0d0d0d0d0d0d0dull) + len;
    return (unsigned)(bytes * 0x9e3779b97f4a7c15ull >> 40);
}

static int begins(const char *name, const entry_t *e)
{
    apr_size_t i;

    if (!strncasecmp(name, e->name, e->len)) {
        return 1;
    }
    for (i = 0; i < e->len && plain(name[i]) == plain(e->name[i]); i++) {
    }
    return i == e->len;
}

static const entry_t *find_name(const char *name, apr_size_t len)
{
    unsigned at = hash(name, len) & (SLOTS - 1);

    for (; table.slot[at]; at = (at + 1) & (SLOTS - 1)) {
        const entry_t *e = &table.name[table.slot[at] - 1];
        if (e->len == len && (!memcmp(name, e->name, len) || begins(name, e))) {
            return e;
        }
    }
    return NULL;
}

static const entry_t *find_prefix(const char *name)
{
    int i;

    if (!(table.prefix_letters >> (*name & 31) & 1)) {
        return NULL;
    }
    for (i = 0; i < table.prefixes; i++) {
        if (begins(name, &table.prefix[i])) {
            return &table.prefix[i];
        }
    }
    return NULL;
}

static unsigned letter_bit(char c)
{
    return 1u << (c & 31) | (c == '-' ? 1u << ('_' & 31) : 0);
}

static void note_start(const entry_t *e, int is_prefix, char second)
{
    devcache_ordinary_start_t
        *s = &devcache_ordinary_starts[e->name[0] & 31][second & 31];

    s->third |= e->len > 2 ? letter_bit(e->name[2]) : is_prefix ? ~0u : 1;
    s->length |= is_prefix ? ~0u : 1u << (e->len & 31);
}

/* 0: there is no room for it, or it is there already. */
static int add(const char *name, apr_size_t len, unsigned group)
{
    int is_prefix = name[len - 1] == '*';
    entry_t e = {name, (unsigned short)(len - (apr_size_t)is_prefix),
                 (unsigned short)group};
    devcache_field_kind_e kind = groups[group].kind;

    if (kind == FORM || kind == OVERRIDE) {
        note_start(&e, is_prefix, name[1]);
        if (name[1] == '-') {
            note_start(&e, is_prefix, '_');
        }
    }
    if (is_prefix && table.prefixes < PREFIXES_MAX) {
        table.prefix[table.prefixes++] = e;
        table.prefix_letters |= 1u << (name[0] & 31);
        return 1;
    }
    if (!is_prefix && table.names < NAMES_MAX && !find_name(name, len)) {
        unsigned at = hash(name, len) & (SLOTS - 1);

        while (table.slot[at]) {
            at = (at + 1) & (SLOTS - 1);
        }
        table.name[table.names++] = e;
        table.slot[at] = (unsigned short)table.names;
        return 1;
    }
    return 0;
}

int devcache_ordinary_init(void)
{
    unsigned group;
    int lost = 0;

    if (table.names) {
        return 0;
    }
    for (group = 0; group < GROUPS; group++) {
        const char *at = groups[group].names;

        while (*at) {
            apr_size_t len = strcspn(at, " ");
            lost += !add(at, len, group);
            at += len + strspn(at + len, " ");
        }
    }
    return lost;
}

/* --- questions ---------------------------------------------------------------------- */

/* X-Requested-With: scripts say XMLHttpRequest, and frameworks answer them with
 * fragments; Android's WebViews say the name of their app, as com.example.reader. */
static devcache_field_kind_e requested_with(const char *value)
{
    const char *at;

    for (at = value; *at; at++) {
        if (!strncasecmp(at, "XMLHttpRequest", 14)) {
            return FORM;
        }
    }
    return strchr(value, '.') && !value[strspn(value, "abcdefghijklmnopqrstuvwxyz"
                                                      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                      "0123456789._")]
               ? KNOWN
               : UNKNOWN;
}

#define REQUESTED_WITH "X-Requested-With"

static int matches(const char *pattern, const char *name)
{
    apr_size_t len = strlen(pattern);

    return len && pattern[len - 1] == '*' ? !strncasecmp(pattern, name, len - 1)
                                          : !strcasecmp(pattern, name);
}

int devcache_ordinary_is_among(const apr_array_header_t *names, const char *name)
{
    int i;

    for (i = 0; names && i < names->nelts; i++) {
        if (matches(APR_ARRAY_IDX(names, i, const char *), name)) {
            return 1;
        }
    }
    return 0;
}

/* The table's word on a name, as if nobody had said more. */
static devcache_field_kind_e kind_in_table(const char *name, const char *value,
                                           const char **pwhy)
{
    const entry_t *e = find_name(name, strlen(name));

    *pwhy = NULL;
    if (!e) {
        e = find_prefix(name);
    }
    if (e) {
        const group_t *g = &groups[e->group];

        /* By a name with "_" it is not what is meant by the one with "-". */
        if (g->kind == KNOWN && strchr(name, '_')) {
            *pwhy = "some origins take it for the field with \"-\" instead of \"_\"";
            return UNKNOWN;
        }
        *pwhy = g->why;
        return g->kind;
    }
    if (devcache_field_same_variable(name, REQUESTED_WITH, sizeof REQUESTED_WITH)) {
        devcache_field_kind_e kind = requested_with(value ? value : "");

        *pwhy = kind == FORM ? "frameworks answer scripts with fragments" : NULL;
        return kind == KNOWN && strchr(name, '_') ? UNKNOWN : kind;
    }
    return UNKNOWN;
}

devcache_field_kind_e devcache_ordinary_kind(const apr_array_header_t *known,
                                             const char *name, const char *value,
                                             const char **pwhy)
{
    const char *why;
    devcache_field_kind_e kind = kind_in_table(name, value, &why);

    if (kind == UNKNOWN && devcache_ordinary_is_among(known, name)) {
        kind = KNOWN;
        why = "DevCacheKnownHeaders says so";
    }
    if (pwhy) {
        *pwhy = why;
    }
    return kind;
}

const char *devcache_ordinary_refuses(const char *name)
{
    const char *why;

    if (strchr(name, '*')) {
        return NULL; /* it does not reach those */
    }
    switch (kind_in_table(name, "XMLHttpRequest", &why)) {
    case OVERRIDE:
    case FORM:
        return "changes what applications answer; DevCacheKeyHeaders can make a page of "
               "its own of each of its values";
    case DEVICE:
        return "may name another device than the one that the page is stored for";
    default:
        return NULL;
    }
}

const char *devcache_ordinary_advice(const char *name, const char *value)
{
    const char *why;

    switch (kind_in_table(name, value, &why)) {
    case OVERRIDE:
    case FORM:
        return "DevCacheKeyHeaders";
    case UNKNOWN:
        return "DevCacheKnownHeaders";
    default:
        return NULL; /* it may name another device: nothing makes that right */
    }
}
