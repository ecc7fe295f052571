/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bans and tags.
 *
 *     ban      version 1 | how host 1 | how url 1 | host | url | device | tags
 *     several  2         | bans of the form above, each as a slice
 *
 * where the last four are slices. Tags are 64-bit hashes, sorted, eight bytes each:
 * nothing but equality is ever asked of them, and a purge that hits one object in 2^64
 * too many does no harm.
 *
 * Tags in header fields come in as many dialects as there are products: Cache-Tag has
 * commas, Surrogate-Key and xkey blanks, X-Cache-Tags either, X-Shopware-Cache-Id
 * semicolons. All of them separate here, in what is stored and in what is purged, so a tag
 * with a blank in it becomes two, on both sides. A condition of no tags at all is about
 * every object that has some.
 */
#include "purge/ban.h"

#define PCRE2_CODE_UNIT_WIDTH 8

#include <apr_strings.h>
#include <pcre2.h>
#include <stdlib.h>
#include <xxhash.h>
#include "http/field.h"
#include "http/response.h"
#include "http/sf.h"
#include "devcache_vary.h"

#define VERSION 1
#define JOINED 2
#define WITH_FIELDS 3     /* as VERSION, and number and fields behind it */
#define MATCH_LIMIT 10000 /* steps of a regular expression on one object */
#define HEAP_LIMIT 1000   /* KiB for one match */
#define NESTING_MAX 20
#define FIELDS_MAX 16     /* conditions of one ban */
#define GROUPS 0x39383735 /* sets groups apart from tags of the same name */

/* ---- tags -------------------------------------------------------------------- */

void devcache_ban_tags_begin(devcache_tags_t *tags, apr_pool_t *p)
{
    tags->hashes = apr_array_make(p, 16, sizeof(apr_uint64_t));
    tags->error = NULL;
    tags->all = 0;
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
        apr_size_t len = strcspn(list, ", ;\t");

        add_tag(tags, list, len);
        list += len + (list[len] != '\0');
    }
}

void devcache_ban_tags_groups(devcache_tags_t *tags, devcache_slice_t key,
                              const char *groups, apr_pool_t *p)
{
    devcache_vary_parts_t k;
    devcache_sf_member_t m;
    apr_uint64_t origin;
    int more = 0;

    if (!devcache_vary_key_parts(key, &k)) {
        tags->error = "groups without an origin";
        return;
    }
    origin = XXH3_64bits_withSeed(k.scheme.data, k.scheme.len, GROUPS ^ k.port);
    origin = XXH3_64bits_withSeed(k.host.data, k.host.len, origin);
    while (!tags->error && (more = devcache_sf_member(&groups, &m)) > 0) {
        const char *group = m.type == DEVCACHE_SF_STRING ? devcache_sf_text(m.string, p)
                                                         : NULL;
        if (!group) {
            tags->error = "a group is not a string";
        } else if (tags->hashes->nelts >= DEVCACHE_TAGS_MAX) {
            tags->error = "more than 1000 tags";
        } else {
            APR_ARRAY_PUSH(tags->hashes, apr_uint64_t) = XXH3_64bits_withSeed(
                group, strlen(group), origin);
        }
    }
    if (more < 0) {
        tags->error = "the groups are no list of structured fields";
    }
}

/* What purgers put before and behind the alternatives: the border of a list's member. */
static const char *const borders[] = {
    "(^|,)", "(,|$)", "(^| )", "( |$)", "(^|\\s)", "(\\s|$)", "(,.+)?$",
    "\\b",   "^",     "$",     "(",     ")",       ".*",      NULL,
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

    if (!strcmp(pattern, ".*") || !strcmp(pattern, "^.*$") || !strcmp(pattern, "*")) {
        tags->all = 1;
        return;
    }
    while (*pattern && !tags->error) {
        if ((skip = border_at(pattern)) > 0) {
            any |= pattern[0] == '.';
            pattern += skip;
        } else if (strchr("|, ;\t", *pattern)) {
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

    if (tags->error || (n == 0 && !tags->all)) {
        return devcache_slice(NULL, 0);
    }
    if (tags->all) {
        return devcache_slice("", 0);
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

static void add_all(devcache_tags_t *tags, devcache_slice_t from)
{
    devcache_reader_t r = devcache_reader(from);

    while (r.pos < r.end && !r.bad) {
        APR_ARRAY_PUSH(tags->hashes, apr_uint64_t) = devcache_get_uint(&r, 8);
    }
}

devcache_slice_t devcache_ban_tags_join(devcache_slice_t a, devcache_slice_t b,
                                        apr_pool_t *p)
{
    devcache_tags_t tags;

    if (!a.data || !b.data) {
        return a.data ? a : b;
    }
    devcache_ban_tags_begin(&tags, p);
    add_all(&tags, a);
    add_all(&tags, b);
    return devcache_ban_tags_end(&tags, p);
}

/* ---- a ban as bytes ------------------------------------------------------------ */

typedef struct condition_t {
    devcache_ban_how_e how;
    devcache_slice_t text;
    pcre2_code *code; /* REGEX only */
} condition_t;

typedef struct field_t {
    const char *name;
    condition_t value;
} field_t;

typedef struct opened_t {
    struct opened_t *next; /* of several that are one */
    condition_t host, url;
    devcache_slice_t device, tags;
    field_t *fields;
    unsigned nfields;
    apr_pool_t *ptemp; /* for one object's fields; NULL: there are none */
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
    int n = ban->fields ? ban->fields->nelts : 0, i;

    devcache_put_uint(w, n ? WITH_FIELDS : VERSION, 1);
    devcache_put_uint(w, ban->host.how, 1);
    devcache_put_uint(w, ban->url.how, 1);
    put_text(w, &ban->host);
    put_text(w, &ban->url);
    devcache_put_slice(w, devcache_slice_str(ban->device));
    devcache_put_slice(w, ban->tags);
    if (n) {
        devcache_put_uint(w, (apr_uint64_t)n, 1);
    }
    for (i = 0; i < n; i++) {
        const devcache_ban_field_t *f = &APR_ARRAY_IDX(ban->fields, i,
                                                       devcache_ban_field_t);
        devcache_put_slice(w, devcache_slice_str(f->name));
        devcache_put_slice(w, devcache_slice_str(f->regex));
    }
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
    for (i = 0; ban->fields && i < ban->fields->nelts; i++) {
        if (i == FIELDS_MAX) {
            return "more than 16 fields";
        }
        if (!compile(devcache_slice_str(
                         APR_ARRAY_IDX(ban->fields, i, devcache_ban_field_t).regex),
                     p, &error)) {
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

devcache_slice_t devcache_ban_join(const devcache_slice_t *bans, unsigned n,
                                   apr_pool_t *p)
{
    devcache_writer_t w = {NULL, 0};
    unsigned i;

    for (i = 0; i < n; i++) {
        w.len += 4 + bans[i].len;
    }
    w.buf = apr_palloc(p, w.len + 1);
    w.len = 0;
    devcache_put_uint(&w, JOINED, 1);
    for (i = 0; i < n; i++) {
        devcache_put_slice(&w, bans[i]);
    }
    return devcache_slice(w.buf, w.len);
}

/* 0: they cannot be read. */
static int open_fields(opened_t *o, devcache_reader_t *r, apr_pool_t *p)
{
    unsigned i;

    o->nfields = (unsigned)devcache_get_uint(r, 1);
    if (r->bad || o->nfields == 0 || o->nfields > FIELDS_MAX) {
        return 0;
    }
    apr_pool_create(&o->ptemp, p);
    o->fields = apr_pcalloc(p, o->nfields * sizeof(*o->fields));
    for (i = 0; i < o->nfields; i++) {
        devcache_slice_t name = devcache_get_slice(r), regex = devcache_get_slice(r);

        o->fields[i].value.how = DEVCACHE_BAN_REGEX;
        if (r->bad || !name.data || memchr(name.data, '\0', name.len) || !regex.data ||
            !open_condition(&o->fields[i].value, regex, p)) {
            return 0;
        }
        o->fields[i].name = apr_pstrmemdup(p, name.data, name.len);
    }
    return 1;
}

static opened_t *open_one(devcache_slice_t bytes, apr_pool_t *p)
{
    opened_t *o = apr_pcalloc(p, sizeof(*o));
    devcache_reader_t r;
    devcache_slice_t host, url;
    apr_uint64_t version;

    if (!bytes.data) {
        return NULL;
    }
    r = devcache_reader(bytes);
    version = devcache_get_uint(&r, 1);
    if (version != VERSION && version != WITH_FIELDS) {
        return NULL;
    }
    o->pool = p;
    o->host.how = (devcache_ban_how_e)devcache_get_uint(&r, 1);
    o->url.how = (devcache_ban_how_e)devcache_get_uint(&r, 1);
    host = devcache_get_slice(&r);
    url = devcache_get_slice(&r);
    o->device = devcache_get_slice(&r);
    o->tags = devcache_get_slice(&r);
    if (version == WITH_FIELDS && !open_fields(o, &r, p)) {
        return NULL;
    }
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

devcache_slice_t devcache_ban_tags_of(devcache_slice_t bytes)
{
    devcache_reader_t r = devcache_reader(bytes);
    devcache_slice_t tags;
    int i;

    if (!bytes.data || devcache_get_uint(&r, 1) != VERSION) {
        return devcache_slice(NULL, 0);
    }
    devcache_get_bytes(&r, 2);
    for (i = 0; i < 3; i++) { /* host, url, device */
        devcache_get_slice(&r);
    }
    tags = devcache_get_slice(&r);
    return r.bad ? devcache_slice(NULL, 0) : tags;
}

void *devcache_ban_open(devcache_slice_t bytes, apr_pool_t *p)
{
    opened_t *first = NULL, *one;
    devcache_reader_t r;

    if (!bytes.data || bytes.len == 0 || bytes.data[0] != JOINED) {
        return open_one(bytes, p);
    }
    r = devcache_reader(bytes);
    devcache_get_uint(&r, 1);
    while (r.pos != r.end) {
        devcache_slice_t part = devcache_get_slice(&r);

        if (r.bad || !(one = open_one(part, p))) {
            return NULL;
        }
        one->next = first;
        first = one;
    }
    return first;
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

/* Room for a text that is compared; what was there before is overwritten. */
static char *room_for(opened_t *o, apr_size_t len)
{
    if (!o->buf || len > o->room) {
        o->room = len * 2;
        o->buf = apr_palloc(o->pool, o->room);
    }
    return o->buf;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'                     ? c - '0'
           : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                    : -1;
}

/* Path and query as one text, the query decoded as the path is. */
static devcache_slice_t url_of(opened_t *o, const devcache_vary_parts_t *k)
{
    const char *q = k->query.data, *end = q ? q + k->query.len : NULL;
    char *buf, *at;

    if (!q) {
        return k->path;
    }
    at = buf = room_for(o, k->path.len + k->query.len + 1);
    memcpy(at, k->path.data, k->path.len);
    at += k->path.len;
    *at++ = '?';
    while (q < end) {
        int is_encoded = *q == '%' && end - q > 2 && hex_value(q[1]) >= 0 &&
                         hex_value(q[2]) >= 0;

        *at++ = is_encoded ? (char)(hex_value(q[1]) * 16 + hex_value(q[2])) : *q;
        q += is_encoded ? 3 : 1;
    }
    return devcache_slice(buf, (apr_size_t)(at - buf));
}

/* The host alone, or as browsers write it where the port is not the scheme's own. */
static int holds_host(opened_t *o, const devcache_vary_parts_t *k)
{
    apr_size_t room = k->host.len + 12;
    char *buf;
    int len;

    if (holds(o, &o->host, k->host)) {
        return 1;
    }
    if (o->host.how != DEVCACHE_BAN_REGEX) {
        return 0;
    }
    buf = room_for(o, room);
    len = apr_snprintf(buf, room, "%.*s:%u", (int)k->host.len, k->host.data, k->port);
    return holds(o, &o->host, devcache_slice(buf, (apr_size_t)len));
}

static apr_uint64_t hash_at(devcache_slice_t tags, apr_size_t i)
{
    devcache_reader_t r = devcache_reader(devcache_slice(tags.data + 8 * i, 8));

    return devcache_get_uint(&r, 8);
}

static int have_common(devcache_slice_t a, devcache_slice_t b)
{
    apr_size_t i = 0, j = 0;

    if (a.len == 0) {
        return b.len > 0; /* any tag */
    }
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

/* Of the response as it is stored. What cannot be read matches. */
static int hold_fields(opened_t *o, devcache_slice_t meta)
{
    devcache_response_t resp;
    const char *value;
    unsigned i;

    apr_pool_clear(o->ptemp);
    if (devcache_response_decode(meta, &resp, o->ptemp) != APR_SUCCESS) {
        return 1;
    }
    for (i = 0; i < o->nfields; i++) {
        value = strcasecmp(o->fields[i].name, "Content-Type")
                    ? devcache_field_combined(resp.lines, o->fields[i].name, o->ptemp)
                    : resp.content_type;
        if (!value || !holds(o, &o->fields[i].value, devcache_slice_str(value))) {
            return 0;
        }
    }
    return 1;
}

static int matches_one(opened_t *o, const devcache_described_t *object)
{
    devcache_vary_parts_t k;
    devcache_slice_t device;

    if ((o->tags.data && !have_common(o->tags, object->tags)) ||
        (o->nfields && !hold_fields(o, object->meta))) {
        return 0;
    }
    if (!devcache_vary_key_parts(object->key, &k) || !k.host.data || !k.path.data) {
        return 1; /* nobody else could tell either */
    }
    if (!holds_host(o, &k) || !holds(o, &o->url, url_of(o, &k))) {
        return 0;
    }
    device = devcache_vary_device_of(object->spec, object->variant);
    /* Stored for no class in particular it is given to this one, too. */
    return !o->device.data || !device.data || devcache_slice_eq(o->device, device);
}

int devcache_ban_matches(void *opened, const devcache_described_t *object)
{
    opened_t *o;

    for (o = opened; o; o = o->next) {
        if (matches_one(o, object)) {
            return 1;
        }
    }
    return 0;
}
