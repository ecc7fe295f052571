/* SPDX-License-Identifier: Apache-2.0 */
#include "devcache_vary.h"

#include <apr_lib.h>
#include <apr_strings.h>

#include "http/cookies.h"
#include "http/coding.h"
#include "http/field.h"
#include "http/weights.h"

/*
 * Three texts tell stored responses apart.
 *
 *   key      which URL: scheme, host, port, path, query
 *   spec     what the response under it depends on: "@device accept-encoding"
 *   values   what one request says to that: spec, target, "mobile", "br, gzip"
 *
 * Key and values are sequences of length-prefixed fields, compared byte for byte by
 * whoever looks them up, so that nothing a client sends can imitate a border between two
 * of them. Values begin with their spec: two specs never have equal values.
 *
 * A spec is made once, when a response is stored, from all lines of its Vary together
 * and the configuration. Which order, case or number of lines the origin used does not
 * matter after that. Lookup then needs the URL's specs and the request only.
 *
 * Values are normalised where the meaning provably stays the same, and not further:
 * every difference that an origin could act on must remain a difference.
 */

static const char *const hints[] = {
    "Sec-CH-UA-Mobile",
    "Sec-CH-UA-Platform",
    "Sec-CH-UA-Form-Factors",
};

#define N_OF(array) (sizeof(array) / sizeof(*(array)))
#define N_HINTS ((int)N_OF(hints))
#define DEVICE "@device"

/* --- key ---------------------------------------------------------------------------- */

#define LENGTH 4 /* bytes before each field */

static void put_lower(devcache_writer_t *w, devcache_slice_t s)
{
    unsigned char *c;

    devcache_put_slice(w, s);
    for (c = w->buf + w->len - s.len; c < w->buf + w->len; c++) {
        *c = (unsigned char)devcache_field_lower_char((char)*c);
    }
}

devcache_slice_t devcache_vary_key(const char *scheme, const char *host, unsigned port,
                                   const char *path, const char *query, apr_pool_t *p)
{
    devcache_slice_t s = devcache_slice_str(scheme), h = devcache_slice_str(host);
    devcache_slice_t at = devcache_slice_str(path), q = devcache_slice_str(query);
    devcache_writer_t w = {NULL, 0};

    if (h.len > 1 && host[h.len - 1] == '.') {
        h.len--;
    }
    w.buf = apr_palloc(p, s.len + h.len + at.len + q.len + 5 * LENGTH);
    put_lower(&w, s);
    put_lower(&w, h);
    devcache_put_uint(&w, port, 4);
    devcache_put_slice(&w, at);
    devcache_put_slice(&w, q); /* NULL is no query, "" an empty one */
    return devcache_slice(w.buf, w.len);
}

#define PIECE 16 /* bytes: whose piece, and where it begins */

devcache_slice_t devcache_vary_key_piece(devcache_slice_t key, apr_uint64_t id,
                                         apr_int64_t first, apr_pool_t *p)
{
    devcache_writer_t w = {NULL, 0};

    w.buf = apr_palloc(p, key.len + LENGTH + PIECE);
    devcache_put_bytes(&w, key.data, key.len);
    devcache_put_uint(&w, PIECE, LENGTH);
    devcache_put_uint(&w, id, 8);
    devcache_put_uint(&w, (apr_uint64_t)first, 8);
    return devcache_slice(w.buf, w.len);
}

#define URL_MAX 1024 /* characters shown of a URL */

/* Append as much of s as fits, with %XX for what is not printable or might end a quoted
 * string; returns where the text ends now. */
static char *show(char *out, const char *end, devcache_slice_t s)
{
    static const char hex[] = "0123456789ABCDEF";
    apr_size_t i;

    for (i = 0; i < s.len && end - out >= 3; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c > ' ' && c < 0x7f && c != '"' && c != '\\') {
            *out++ = (char)c;
        } else {
            *out++ = '%';
            *out++ = hex[c >> 4];
            *out++ = hex[c & 15];
        }
    }
    return out;
}

static int is_default_port(devcache_slice_t scheme, unsigned port)
{
    return port == (devcache_field_is(scheme, "https") ? 443 : 80);
}

int devcache_vary_key_parts(devcache_slice_t key, devcache_vary_parts_t *parts)
{
    devcache_reader_t r;

    if (!key.data) {
        return 0;
    }
    r = devcache_reader(key);
    parts->scheme = devcache_get_slice(&r);
    parts->host = devcache_get_slice(&r);
    parts->port = (unsigned)devcache_get_uint(&r, 4);
    parts->path = devcache_get_slice(&r);
    parts->query = devcache_get_slice(&r);
    parts->first = -1;
    if (r.pos != r.end) {
        if (devcache_get_uint(&r, LENGTH) != PIECE) {
            return 0;
        }
        devcache_get_uint(&r, 8);
        parts->first = (apr_int64_t)devcache_get_uint(&r, 8);
    }
    return !r.bad && r.pos == r.end;
}

const char *devcache_vary_key_url(devcache_slice_t key, apr_pool_t *p)
{
    char text[URL_MAX], *out = text;
    const char *end = text + sizeof(text);
    devcache_vary_parts_t k;
    int bare;

    if (!devcache_vary_key_parts(key, &k)) {
        return "-";
    }
    out = show(out, end, k.scheme);
    out = show(out, end, devcache_slice_str("://"));
    bare = k.host.len && memchr(k.host.data, ':', k.host.len); /* IPv6, RFC 3986 3.2.2 */
    out = show(out, end, devcache_slice_str(bare ? "[" : ""));
    out = show(out, end, k.host);
    out = show(out, end, devcache_slice_str(bare ? "]" : ""));
    if (!is_default_port(k.scheme, k.port)) {
        out = show(out, end, devcache_slice_str(apr_psprintf(p, ":%u", k.port)));
    }
    out = show(out, end, k.path);
    if (k.query.data) {
        out = show(out, end, devcache_slice_str("?"));
        out = show(out, end, k.query);
    }
    if (k.first >= 0) {
        out = show(out, end,
                   devcache_slice_str(apr_psprintf(p, "#%" APR_INT64_T_FMT, k.first)));
    }
    return apr_pstrmemdup(p, text, (apr_size_t)(out - text));
}

/* --- spec --------------------------------------------------------------------------- */

/* Does a member of Vary mean the device class? Then all that it stands for is in the
 * class, and one copy per class is enough. Of the hints that is Sec-CH-UA-Mobile alone:
 * the platform and the form factors help to tell the class, but pages are made for macOS
 * or for a watch, and those that contradict the class are not stored. */
static int means_device(const devcache_vary_conf_t *conf, const char *name)
{
    if (conf->device_header && strcasecmp(name, conf->device_header) == 0) {
        return 1;
    }
    if (!conf->user_agent_exact && strcasecmp(name, "User-Agent") == 0) {
        return 1;
    }
    return conf->client_hints && strcasecmp(name, "Sec-CH-UA-Mobile") == 0;
}

typedef struct {
    const char *names[DEVCACHE_VARY_MAX_NAMES]; /* sorted, each once */
    int count;
    apr_size_t bytes; /* of the spec's text, separators included */
} spec_t;

/* 0 if there is no more room. */
static int add_name(spec_t *spec, const char *name)
{
    int at = 0, order = 1;

    while (at < spec->count && (order = strcmp(spec->names[at], name)) < 0) {
        at++;
    }
    if (at < spec->count && order == 0) {
        return 1;
    }
    spec->bytes += strlen(name) + 1;
    if (spec->count == DEVCACHE_VARY_MAX_NAMES || spec->bytes > DEVCACHE_VARY_MAX_SPEC) {
        return 0;
    }
    memmove(&spec->names[at + 1], &spec->names[at],
            (apr_size_t)(spec->count - at) * sizeof(*spec->names));
    spec->names[at] = name;
    spec->count++;
    return 1;
}

static devcache_reason_e add_member(const devcache_vary_conf_t *conf, spec_t *spec,
                                    devcache_slice_t member, apr_pool_t *p)
{
    const char *name;

    if (member.len == 1 && member.data[0] == '*') {
        return DEVCACHE_REASON_VARY_STAR; /* RFC 9111 section 4.1: it never matches */
    }
    if (!devcache_field_is_token(member)) {
        return DEVCACHE_REASON_CONFLICT; /* no field name, so nothing to compare by */
    }
    if (member.len > DEVCACHE_VARY_MAX_SPEC) {
        return DEVCACHE_REASON_VARY_LIMIT;
    }
    name = devcache_field_lower(member.data, member.len, p);
    if (means_device(conf, name)) {
        name = DEVICE;
    }
    return add_name(spec, name) ? DEVCACHE_REASON_NONE : DEVCACHE_REASON_VARY_LIMIT;
}

/* --- codings ---------------------------------------------------------------------- */

#define CODING "@coding" /* and a digit, "=", and the coding's name */

static int place_in(const spec_t *spec, const char *name)
{
    int i;

    for (i = 0; i < spec->count && strcmp(spec->names[i], name); i++) {
    }
    return i;
}

static void drop_name(spec_t *spec, const char *name)
{
    int i = place_in(spec, name);

    if (i < spec->count) {
        spec->bytes -= strlen(name) + 1;
        spec->count--;
        memmove(&spec->names[i], &spec->names[i + 1],
                (apr_size_t)(spec->count - i) * sizeof(*spec->names));
    }
}

/* In DevCacheEncodings, from 1; 0: not there, but made with a dictionary; -1: not there. */
static int place_of(const devcache_vary_conf_t *conf, devcache_slice_t coding)
{
    int i;

    for (i = 0; conf->encodings && i < conf->encodings->nelts; i++) {
        if (devcache_field_is(coding, APR_ARRAY_IDX(conf->encodings, i, const char *))) {
            return i + 1;
        }
    }
    return conf->encodings && devcache_coding_needs_dictionary(coding) ? 0 : -1;
}

/* What Accept-Encoding means for this response: a body in a coding is for all who accept
 * that; one without, though others were accepted, is for all who take it so. One without
 * that was asked for like this is for those who ask likewise: others may get a coding. */
static devcache_reason_e add_coding(const devcache_vary_conf_t *conf, spec_t *spec,
                                    const apr_table_t *request,
                                    const apr_table_t *response, apr_pool_t *p)
{
    static const char field[] = "accept-encoding";
    const char *coded = devcache_field_combined(response, "Content-Encoding", p);
    devcache_slice_t coding = devcache_field_trim(devcache_slice_str(coded ? coded : ""));
    int place = 9, is_coded = coding.len && !devcache_field_is(coding, "identity");
    const char *sent = is_coded ||
                               (conf->encodings && place_in(spec, field) < spec->count)
                           ? devcache_coding_sent(conf->encodings, request, p)
                           : NULL;
    if (!is_coded) {
        if (!sent || !*sent) {
            return DEVCACHE_REASON_NONE;
        }
        coding = devcache_slice_str("identity");
    } else {
        coding = devcache_slice_str(devcache_field_lower(coding.data, coding.len, p));
        coding = devcache_coding_alias(coding);
        place = place_of(conf, coding);
        if (devcache_coding_needs_dictionary(coding) &&
            !add_name(spec, "available-dictionary")) {
            return DEVCACHE_REASON_VARY_LIMIT;
        }
        if (place < 0 || !devcache_coding_accepted(sent, coding)) {
            return add_name(spec, field) ? DEVCACHE_REASON_NONE /* who asks likewise */
                                         : DEVCACHE_REASON_VARY_LIMIT;
        }
    }
    drop_name(spec, field);
    return add_name(spec, apr_psprintf(p, CODING "%d=%.*s", place, (int)coding.len,
                                       coding.data))
               ? DEVCACHE_REASON_NONE
               : DEVCACHE_REASON_VARY_LIMIT;
}

static const char *spec_text(const spec_t *spec, apr_pool_t *p)
{
    char *text = apr_palloc(p, spec->bytes + 1);
    char *out = text;
    int i;

    for (i = 0; i < spec->count; i++) {
        apr_size_t len = strlen(spec->names[i]);
        memcpy(out, spec->names[i], len);
        out += len;
        *out++ = ' ';
    }
    if (out > text) {
        out--;
    }
    *out = '\0';
    return text;
}

devcache_reason_e devcache_vary_spec(const devcache_vary_conf_t *conf,
                                     const apr_table_t *request,
                                     const apr_table_t *response, const char **pspec,
                                     apr_pool_t *p)
{
    spec_t spec = {{NULL}};
    devcache_reason_e reason;
    devcache_slice_t member;
    const char *line;
    int index = 0;

    if (conf->by_device) {
        add_name(&spec, DEVICE);
    }
    while ((line = devcache_field_line(response, "Vary", &index)) != NULL) {
        while (devcache_field_next(&line, &member)) {
            reason = add_member(conf, &spec, member, p);
            if (reason != DEVCACHE_REASON_NONE) {
                return reason;
            }
        }
    }
    reason = add_coding(conf, &spec, request, response, p);
    *pspec = spec_text(&spec, p);
    return reason;
}

/* --- values ------------------------------------------------------------------------- */

/* A list whose meaning is not known: white space around its commas does not count (RFC
 * 9111 section 4.1), except within quoted strings. */
static const char *without_space(const char *value, apr_pool_t *p)
{
    devcache_slice_t in = devcache_field_trim(devcache_slice_str(value));
    char *text = apr_palloc(p, in.len + 1);
    char *out = text;
    const char *c = in.data;
    const char *end = in.data + in.len;
    int quoted = 0;

    for (; c < end; c++) {
        if (quoted && *c == '\\' && c + 1 < end) {
            *out++ = *c++;
        } else if (*c == '"') {
            quoted = !quoted;
        } else if (!quoted && *c == ',') {
            while (out > text && (out[-1] == ' ' || out[-1] == '\t')) {
                out--;
            }
            while (c + 1 < end && (c[1] == ' ' || c[1] == '\t')) {
                c++;
            }
            *out++ = ',';
            continue;
        }
        *out++ = *c;
    }
    *out = '\0';
    return text;
}

/* Of a request under "@coding1=br": "br" if it accepts that, else what no response has. */
static devcache_slice_t coding_value(const devcache_vary_conf_t *conf,
                                     devcache_slice_t name, const apr_table_t *request,
                                     apr_pool_t *p)
{
    const char *value = devcache_field_combined(request, "Accept-Encoding", p);
    devcache_slice_t coding = devcache_slice(name.data + sizeof(CODING) + 1,
                                             name.len - sizeof(CODING) - 1);

    return devcache_coding_accepted(value, coding) ||
                   (conf->inflates && devcache_field_is(coding, "gzip"))
               ? coding
               : devcache_slice_str("-");
}

static const char *normalise(const devcache_vary_conf_t *conf, const char *name,
                             const char *value, const apr_table_t *request, apr_pool_t *p)
{
    if (!value) {
        return NULL;
    }
    if (strcmp(name, "accept-encoding") == 0) {
        return devcache_vary_accept_encoding(
            devcache_coding_sent(conf->encodings, request, p), p);
    }
    if (strcmp(name, "accept-language") == 0) {
        return devcache_vary_accept_language(value, p);
    }
    if (strcmp(name, "cookie") == 0) {
        return devcache_cookies_canonical(value, p);
    }
    return without_space(value, p);
}

devcache_slice_t devcache_vary_values(const devcache_vary_conf_t *conf, const char *spec,
                                      devcache_slice_t target, const char *device,
                                      const apr_table_t *request, apr_pool_t *p)
{
    devcache_slice_t parts[2 + DEVCACHE_VARY_MAX_NAMES];
    devcache_writer_t w = {NULL, 0};
    const char *name;
    apr_size_t bytes;
    int count = 2, by_device = 0, i;

    parts[0] = devcache_slice_str(spec);
    parts[1] = target;
    for (name = spec; *name && count < (int)N_OF(parts); count++) {
        apr_size_t len = strcspn(name, " ");
        if (len == sizeof(DEVICE) - 1 && !memcmp(name, DEVICE, len)) {
            by_device = 1;
            parts[count] = devcache_slice_str(device);
        } else if (len > sizeof(CODING) + 1 &&
                   !memcmp(name, CODING, sizeof(CODING) - 1)) {
            parts[count] = coding_value(conf, devcache_slice(name, len), request, p);
        } else {
            const char *field = apr_pstrmemdup(p, name, len);
            const char *value = devcache_field_combined(request, field, p);
            parts[count] = devcache_slice_str(normalise(conf, field, value, request, p));
        }
        name += len + (name[len] == ' ');
    }
    if (conf->by_device && !by_device) {
        return devcache_slice(NULL, 0);
    }
    for (bytes = 0, i = 0; i < count; i++) {
        bytes += LENGTH + parts[i].len;
    }
    w.buf = apr_palloc(p, bytes);
    for (i = 0; i < count; i++) {
        devcache_put_slice(&w, parts[i]);
    }
    return devcache_slice(w.buf, w.len);
}

/* A value as a string; what is behind a NUL is not shown. */
static const char *text_of(devcache_slice_t s, apr_pool_t *p)
{
    return s.data ? apr_pstrndup(p, s.data, s.len) : NULL;
}

/* A target's parts in one line: those that say something and may be shown. */
static const char *target_text(devcache_slice_t target, apr_pool_t *p)
{
    devcache_reader_t r = devcache_reader(target);
    const char *text = "";
    int n;

    for (n = 0; r.pos < r.end; n++) {
        devcache_slice_t part = devcache_get_slice(&r);

        if (r.bad) {
            return text_of(target, p);
        }
        if (part.len && n < DEVCACHE_VARY_SHOWN) {
            text = apr_pstrcat(p, text, *text ? " " : "", text_of(part, p), NULL);
        }
    }
    return text;
}

int devcache_vary_read(devcache_slice_t values, devcache_vary_said_t *out, apr_pool_t *p)
{
    devcache_reader_t r = devcache_reader(values);
    devcache_slice_t target;
    const char *name;
    int count = 0;

    memset(out, 0, sizeof(*out));
    out->values = apr_table_make(p, 4);
    out->spec = text_of(devcache_get_slice(&r), p);
    target = devcache_get_slice(&r);
    if (r.bad || !out->spec || !target.data) {
        return 0;
    }
    out->target = target_text(target, p);
    for (name = out->spec; *name && count < DEVCACHE_VARY_MAX_NAMES; count++) {
        apr_size_t len = strcspn(name, " ");
        const char *field = apr_pstrmemdup(p, name, len);
        const char *value = text_of(devcache_get_slice(&r), p);

        if (strcmp(field, DEVICE) == 0) {
            out->device = value;
        } else if (value) {
            apr_table_setn(out->values, field, value);
        }
        name += len + (name[len] == ' ');
    }
    return !r.bad && r.pos == r.end;
}

int devcache_vary_differences(devcache_slice_t a, devcache_slice_t b,
                              devcache_vary_difference_t *out, int max, apr_pool_t *p)
{
    devcache_reader_t left = devcache_reader(a), right = devcache_reader(b);
    devcache_slice_t spec = devcache_get_slice(&left);
    const char *name = "@target", *rest;
    apr_size_t len;
    int n = 0;

    if (left.bad || !devcache_slice_eq(spec, devcache_get_slice(&right))) {
        return -1;
    }
    rest = apr_pstrmemdup(p, spec.data, spec.len);
    while (name && n < max) {
        devcache_slice_t x = devcache_get_slice(&left), y = devcache_get_slice(&right);

        if (left.bad || right.bad) {
            return -1;
        }
        if (!devcache_slice_eq(x, y) || !x.data != !y.data) {
            out[n].name = strncmp(name, CODING, sizeof(CODING) - 1) ? name
                                                                    : "accept-encoding";
            out[n].a = x;
            out[n++].b = y;
        }
        len = strcspn(rest, " ");
        name = len ? apr_pstrmemdup(p, rest, len) : NULL;
        rest += len + (rest[len] == ' ');
    }
    return n;
}

devcache_slice_t devcache_vary_device_of(devcache_slice_t spec, devcache_slice_t variant)
{
    static const devcache_slice_t device = {DEVICE, sizeof(DEVICE) - 1};
    devcache_slice_t value = {NULL, 0};
    devcache_reader_t r;
    int found = 0;

    if (!variant.data) {
        return value;
    }
    r = devcache_reader(variant);
    devcache_get_slice(&r); /* the spec once more, and the target */
    devcache_get_slice(&r);
    while (spec.len > 0 && !found) {
        const char *end = memchr(spec.data, ' ', spec.len);
        apr_size_t len = end ? (apr_size_t)(end - spec.data) : spec.len;

        value = devcache_get_slice(&r);
        found = devcache_slice_eq(devcache_slice(spec.data, len), device);
        len += end != NULL;
        spec = devcache_slice(spec.data + len, spec.len - len);
    }
    return found && !r.bad ? value : devcache_slice(NULL, 0);
}

/* --- canonical values ------------------------------------------------------------ */

/* What nearly all browsers send, and what it comes to. */
static const char *const usual_codings[][2] = {
    {"gzip, deflate, br, zstd", "br, deflate, gzip, zstd"},
    {"gzip, deflate, br", "br, deflate, gzip"},
    {"gzip, deflate", "deflate, gzip"},
    {"gzip", "gzip"},
};

const char *devcache_vary_accept_encoding(const char *value, apr_pool_t *p)
{
    apr_size_t i;

    for (i = 0; value && i < N_OF(usual_codings); i++) {
        if (strcmp(value, usual_codings[i][0]) == 0) {
            return usual_codings[i][1];
        }
    }
    return devcache_weights_canonical(value, devcache_coding_alias, p);
}

const char *devcache_vary_accept_language(const char *value, apr_pool_t *p)
{
    return devcache_weights_canonical(value, NULL, p);
}

/* --- outward ------------------------------------------------------------------------ */

#define OUTWARD_MAX 64 /* names; more make the response not cacheable downstream */

/* Names in their first order and spelling, each once. */
typedef struct {
    devcache_slice_t names[OUTWARD_MAX];
    int count; /* above OUTWARD_MAX: too many */
} outward_t;

static void show_name(outward_t *o, devcache_slice_t name)
{
    int i;

    for (i = 0; i < o->count && i < OUTWARD_MAX; i++) {
        if (o->names[i].len == name.len &&
            strncasecmp(o->names[i].data, name.data, name.len) == 0) {
            return;
        }
    }
    if (o->count < OUTWARD_MAX) {
        o->names[o->count] = name;
    }
    o->count++;
}

static const char *join_names(const outward_t *o, apr_pool_t *p)
{
    apr_size_t len = 0;
    char *out, *at;
    int i;

    for (i = 0; i < o->count; i++) {
        len += o->names[i].len + 1;
    }
    at = out = apr_palloc(p, len + 1);
    for (i = 0; i < o->count; i++) {
        if (i) {
            *at++ = ','; /* as httpd writes it */
        }
        memcpy(at, o->names[i].data, o->names[i].len);
        at += o->names[i].len;
    }
    *at = '\0';
    return out;
}

static void show_device(outward_t *o, const devcache_vary_conf_t *conf)
{
    int i;

    show_name(o, devcache_slice_str("User-Agent"));
    for (i = 0; conf->client_hints && i < N_HINTS; i++) {
        show_name(o, devcache_slice_str(hints[i]));
    }
    if (conf->device_cookie) {
        show_name(o, devcache_slice_str("Cookie"));
    }
}

const char *devcache_vary_outward(const devcache_vary_conf_t *conf,
                                  const apr_table_t *response, int by_device,
                                  apr_pool_t *p)
{
    outward_t o;
    const char *header = conf->device_header ? conf->device_header : "";
    apr_size_t header_len = strlen(header);
    devcache_slice_t member;
    const char *line;
    int index = 0;

    o.count = 0;
    while ((line = devcache_field_line(response, "Vary", &index)) != NULL) {
        while (devcache_field_next(&line, &member)) {
            if (member.len == 1 && member.data[0] == '*') {
                return "*";
            }
            if (member.len == header_len &&
                strncasecmp(member.data, header, header_len) == 0) {
                by_device =
                    1; /* no client sends it: what makes the class stands for it */
                continue;
            }
            show_name(&o, member);
        }
    }
    if ((line = apr_table_get(response, "Content-Encoding"))) {
        show_name(&o, devcache_slice_str("Accept-Encoding"));
        if (devcache_coding_needs_dictionary(devcache_slice_str(line))) {
            show_name(&o, devcache_slice_str("Available-Dictionary"));
        }
    }
    if (by_device) {
        show_device(&o, conf);
    }
    if (o.count > OUTWARD_MAX) {
        return "*";
    }
    return o.count ? join_names(&o, p) : NULL;
}
