/*
 * Bans and tags.
 *
 *     ban   version 1 | how host 1 | how url 1 | host | url | device | tags
 *
 * where the last four are slices. Tags are 64-bit hashes, sorted, eight bytes each:
 * nothing but equality is ever asked of them, and a purge that hits one object in 2^64
 * too many does no harm.
 *
 * Tags in header fields come in as many dialects as there are products: Cache-Tag has
 * commas, Surrogate-Key and xkey blanks, X-Cache-Tags either. Both separate here, in what
 * is stored and in what is purged, so a tag with a blank in it becomes two, on both
 * sides.
 */
#include "devcache_ban.h"

#define PCRE2_CODE_UNIT_WIDTH 8

#include <apr_strings.h>
#include <pcre2.h>
#include <stdlib.h>
#include <xxhash.h>
#include "devcache_vary.h"

#define VERSION 1
#define MATCH_LIMIT 10000 /* steps of a regular expression on one object */
#define HEAP_LIMIT 1000   /* KiB for one match */
#define NESTING_MAX 20

/* ---- tags -------------------------------------------------------------------- */

void devcache_ban_tags_begin(devcache_tags_t *tags, apr_pool_t *p)
{
    tags->hashes = apr_array_make(p, 16, sizeof(apr_uint64_t));
    tags->error = NULL;
}

static void add_tag(devcache_tags_t *tags, const char *tag, apr_size_t len)
{
    apr_size_t i;

    for (i = 0; i < len; i++) {
        unsigned char c = (unsigned char)tag[i];
        if (c < 0x20 || c == 0x7f) {
            tags->error = "a tag has a control character in it";
        }
    }
    if (len > DEVCACHE_TAG_MAX) {
        tags->error = "a tag is longer than 1024 bytes";
    } else if (tags->hashes->nelts >= DEVCACHE_TAGS_MAX) {
        tags->error = "more than 1000 tags";
    }
    if (!tags->error && len > 0) {
        APR_ARRAY_PUSH(tags->hashes, apr_uint64_t) = XXH3_64bits(tag, len);
    }
}

void devcache_ban_tags_list(devcache_tags_t *tags, const char *list)
{
    while (!tags->error && *list) {
        apr_size_t len = strcspn(list, ", \t");

        add_tag(tags, list, len);
        list += len + (list[len] != '\0');
    }
}

/* What purgers put before and behind the alternatives: the border of a list's member. */
static const char *const borders[] = {
    "(^|,)", "(,|$)", "(^| )", "( |$)", "(^|\\s)", "(\\s|$)", "\\b",
    "^",     "$",     "(",     ")",     ".*",      NULL,
};

static apr_size_t border_at(const char *pattern)
{
    int i;

    for (i = 0; borders[i]; i++) {
        apr_size_t len = strlen(borders[i]);
        if (!strncmp(pattern, borders[i], len)) {
            return len;
        }
    }
    return 0;
}

/* One character of a literal at *pat into *out; 0 if it is a regular expression's own. */
static int literal_at(const char **pat, char *out)
{
    const char *c = *pat;

    if (*c == '\\' && c[1] && !strchr("0123456789", c[1]) &&
        !((c[1] >= 'a' && c[1] <= 'z') || (c[1] >= 'A' && c[1] <= 'Z'))) {
        *out = c[1];
        *pat += 2;
        return 1;
    }
    *out = *c;
    *pat += 1;
    /* A single dot is what purgers forget to escape. */
    return *c == '.' ? !strchr("?*+{", c[1]) || !c[1] : !strchr("\\^$[]|()?*+{}", *c);
}

void devcache_ban_tags_pattern(devcache_tags_t *tags, const char *pattern, apr_pool_t *p)
{
    char *tag = apr_palloc(p, strlen(pattern) + 1), *end = tag;
    int plain = 1, any = 0;
    apr_size_t skip;

    while (*pattern && !tags->error) {
        if ((skip = border_at(pattern)) > 0) {
            any |= pattern[0] == '.';
            pattern += skip;
        } else if (strchr("|, \t", *pattern)) {
            devcache_ban_tags_list(tags, apr_pstrmemdup(p, tag, (apr_size_t)(end - tag)));
            end = tag;
            pattern++;
        } else {
            plain &= literal_at(&pattern, end++);
        }
    }
    if (!tags->error) {
        devcache_ban_tags_list(tags, apr_pstrmemdup(p, tag, (apr_size_t)(end - tag)));
    }
    if (!plain || any) {
        tags->error = "a pattern of tags may be literal tags with | between";
    }
}

static int by_hash(const void *a, const void *b)
{
    apr_uint64_t x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x < y ? -1 : x > y;
}

devcache_slice_t devcache_ban_tags_end(devcache_tags_t *tags, apr_pool_t *p)
{
    const apr_uint64_t *hashes = (const apr_uint64_t *)tags->hashes->elts;
    devcache_writer_t w = {NULL, 0};
    int n = tags->hashes->nelts, i;

    if (tags->error || n == 0) {
        return devcache_slice(NULL, 0);
    }
    qsort(tags->hashes->elts, (apr_size_t)n, sizeof(*hashes), by_hash);
    w.buf = apr_palloc(p, (apr_size_t)n * 8);
    for (i = 0; i < n; i++) {
        if (i == 0 || hashes[i] != hashes[i - 1]) {
            devcache_put_uint(&w, hashes[i], 8);
        }
    }
    return devcache_slice(w.buf, w.len);
}

/* ---- a ban as bytes ------------------------------------------------------------ */

typedef struct condition_t {
    devcache_ban_how_e how;
    devcache_slice_t text;
    pcre2_code *code; /* REGEX only */
} condition_t;

typedef struct opened_t {
    condition_t host, url;
    devcache_slice_t device, tags;
    pcre2_match_context *limits;
    pcre2_match_data *match;
    apr_pool_t *pool;
    char *buf; /* for a URL */
    apr_size_t room;
} opened_t;

static apr_status_t free_code(void *code)
{
    pcre2_code_free(code);
    return APR_SUCCESS;
}

static pcre2_code *compile(devcache_slice_t text, apr_pool_t *p, const char **perror)
{
    pcre2_compile_context *limits = pcre2_compile_context_create(NULL);
    PCRE2_SIZE at;
    PCRE2_UCHAR why[120];
    pcre2_code *code;
    int rc;

    pcre2_set_max_pattern_length(limits, DEVCACHE_PATTERN_MAX);
    pcre2_set_parens_nest_limit(limits, NESTING_MAX);
    code = pcre2_compile((PCRE2_SPTR)text.data, text.len,
                         PCRE2_DOLLAR_ENDONLY | PCRE2_DOTALL | PCRE2_NEVER_BACKSLASH_C,
                         &rc, &at, limits);
    pcre2_compile_context_free(limits);
    if (!code) {
        pcre2_get_error_message(rc, why, sizeof(why));
        *perror = apr_psprintf(p, "the regular expression cannot be used: %s, at %lu",
                               (const char *)why, (unsigned long)at);
        return NULL;
    }
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    apr_pool_cleanup_register(p, code, free_code, apr_pool_cleanup_null);
    return code;
}

static void put_text(devcache_writer_t *w, const devcache_ban_text_t *t)
{
    devcache_put_slice(w, t->how == DEVCACHE_BAN_ANY ? devcache_slice(NULL, 0)
                                                     : devcache_slice_str(t->text));
}

static void put_ban(devcache_writer_t *w, const devcache_ban_t *ban)
{
    devcache_put_uint(w, VERSION, 1);
    devcache_put_uint(w, ban->host.how, 1);
    devcache_put_uint(w, ban->url.how, 1);
    put_text(w, &ban->host);
    put_text(w, &ban->url);
    devcache_put_slice(w, devcache_slice_str(ban->device));
    devcache_put_slice(w, ban->tags);
}

const char *devcache_ban_encode(const devcache_ban_t *ban, devcache_slice_t *out,
                                apr_pool_t *p)
{
    const devcache_ban_text_t *texts[] = {&ban->host, &ban->url};
    devcache_writer_t w = {NULL, 0};
    const char *error = NULL;
    int i;

    for (i = 0; i < 2; i++) {
        if (texts[i]->how == DEVCACHE_BAN_REGEX &&
            !compile(devcache_slice_str(texts[i]->text), p, &error)) {
            return error;
        }
    }
    put_ban(&w, ban);
    w.buf = apr_palloc(p, w.len);
    w.len = 0;
    put_ban(&w, ban);
    *out = devcache_slice(w.buf, w.len);
    return NULL;
}

static int open_condition(condition_t *c, devcache_slice_t text, apr_pool_t *p)
{
    const char *error;

    c->text = text;
    if (c->how == DEVCACHE_BAN_REGEX && text.data) {
        c->code = compile(text, p, &error);
        return c->code != NULL;
    }
    return c->how == DEVCACHE_BAN_ANY ||
           (c->how <= DEVCACHE_BAN_PREFIX && text.data != NULL);
}

static apr_status_t free_matching(void *data)
{
    opened_t *o = data;

    pcre2_match_data_free(o->match);
    pcre2_match_context_free(o->limits);
    return APR_SUCCESS;
}

void *devcache_ban_open(devcache_slice_t bytes, apr_pool_t *p)
{
    opened_t *o = apr_pcalloc(p, sizeof(*o));
    devcache_reader_t r;
    devcache_slice_t host, url;

    if (!bytes.data) {
        return NULL;
    }
    r = devcache_reader(bytes);
    if (devcache_get_uint(&r, 1) != VERSION) {
        return NULL;
    }
    o->pool = p;
    o->host.how = (devcache_ban_how_e)devcache_get_uint(&r, 1);
    o->url.how = (devcache_ban_how_e)devcache_get_uint(&r, 1);
    host = devcache_get_slice(&r);
    url = devcache_get_slice(&r);
    o->device = devcache_get_slice(&r);
    o->tags = devcache_get_slice(&r);
    if (r.bad || r.pos != r.end || !open_condition(&o->host, host, p) ||
        !open_condition(&o->url, url, p)) {
        return NULL;
    }
    o->limits = pcre2_match_context_create(NULL);
    o->match = pcre2_match_data_create(1, NULL);
    apr_pool_cleanup_register(p, o, free_matching, apr_pool_cleanup_null);
    pcre2_set_match_limit(o->limits, MATCH_LIMIT);
    pcre2_set_heap_limit(o->limits, HEAP_LIMIT);
    return o;
}

/* ---- judging ---------------------------------------------------------------------- */

static int holds(opened_t *o, const condition_t *c, devcache_slice_t s)
{
    switch (c->how) {
    case DEVCACHE_BAN_ANY:
        return 1;
    case DEVCACHE_BAN_IS:
        return s.data && devcache_slice_eq(c->text, s);
    case DEVCACHE_BAN_PREFIX:
        return s.data && s.len >= c->text.len &&
               !memcmp(s.data, c->text.data, c->text.len);
    default:
        /* Limits exceeded are a match as well: what is not certain goes. */
        return pcre2_match(c->code, (PCRE2_SPTR)(s.data ? s.data : ""), s.len, 0, 0,
                           o->match, o->limits) != PCRE2_ERROR_NOMATCH;
    }
}

/* Path and query as one text. */
static devcache_slice_t url_of(opened_t *o, const devcache_vary_parts_t *k)
{
    apr_size_t len = k->path.len + (k->query.data ? k->query.len + 1 : 0);
    devcache_writer_t w;

    if (!k->query.data) {
        return k->path;
    }
    if (len > o->room) {
        o->room = len * 2;
        o->buf = apr_palloc(o->pool, o->room);
    }
    w.buf = (unsigned char *)o->buf;
    w.len = 0;
    devcache_put_bytes(&w, k->path.data, k->path.len);
    devcache_put_bytes(&w, "?", 1);
    devcache_put_bytes(&w, k->query.data, k->query.len);
    return devcache_slice(w.buf, w.len);
}

static apr_uint64_t hash_at(devcache_slice_t tags, apr_size_t i)
{
    devcache_reader_t r = devcache_reader(devcache_slice(tags.data + 8 * i, 8));

    return devcache_get_uint(&r, 8);
}

static int have_common(devcache_slice_t a, devcache_slice_t b)
{
    apr_size_t i = 0, j = 0;

    while ((i + 1) * 8 <= a.len && (j + 1) * 8 <= b.len) {
        apr_uint64_t x = hash_at(a, i), y = hash_at(b, j);

        if (x == y) {
            return 1;
        }
        i += x < y;
        j += y < x;
    }
    return 0;
}

int devcache_ban_matches(void *opened, const devcache_described_t *object)
{
    opened_t *o = opened;
    devcache_vary_parts_t k;
    devcache_slice_t device;

    if (o->tags.data && !have_common(o->tags, object->tags)) {
        return 0;
    }
    if (!devcache_vary_key_parts(object->key, &k) || !k.host.data || !k.path.data) {
        return 1; /* nobody else could tell either */
    }
    if (!holds(o, &o->host, k.host) || !holds(o, &o->url, url_of(o, &k))) {
        return 0;
    }
    device = devcache_vary_device_of(object->spec, object->variant);
    /* Stored for no class in particular it is given to this one, too. */
    return !o->device.data || !device.data || devcache_slice_eq(o->device, device);
}
