#include "devcache_vary.h"

#include <apr_lib.h>
#include <apr_strings.h>

#include "devcache_field.h"

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
    return apr_pstrmemdup(p, text, (apr_size_t)(out - text));
}

/* --- spec --------------------------------------------------------------------------- */

/* Does a member of Vary mean the device class? Then all that it stands for is in the
 * class, and one copy per class is enough. */
static int means_device(const devcache_vary_conf_t *conf, const char *name)
{
    int i;

    if (conf->device_header && strcasecmp(name, conf->device_header) == 0) {
        return 1;
    }
    if (!conf->user_agent_exact && strcasecmp(name, "User-Agent") == 0) {
        return 1;
    }
    for (i = 0; conf->client_hints && i < N_HINTS; i++) {
        if (strcasecmp(name, hints[i]) == 0) {
            return 1;
        }
    }
    return 0;
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
                                     const apr_table_t *response, const char **pspec,
                                     apr_pool_t *p)
{
    spec_t spec = {{NULL}};
    devcache_slice_t member;
    const char *line;
    int index = 0;

    if (conf->by_device) {
        add_name(&spec, DEVICE);
    }
    while ((line = devcache_field_line(response, "Vary", &index)) != NULL) {
        while (devcache_field_next(&line, &member)) {
            devcache_reason_e reason = add_member(conf, &spec, member, p);
            if (reason != DEVCACHE_REASON_NONE) {
                return reason;
            }
        }
    }
    *pspec = spec_text(&spec, p);
    return DEVCACHE_REASON_NONE;
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

static const char *normalise(const char *name, const char *value, apr_pool_t *p)
{
    if (!value) {
        return NULL;
    }
    if (strcmp(name, "accept-encoding") == 0) {
        return devcache_vary_accept_encoding(value, p);
    }
    if (strcmp(name, "accept-language") == 0) {
        return devcache_vary_accept_language(value, p);
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
        } else {
            const char *field = apr_pstrmemdup(p, name, len);
            const char *value = devcache_field_combined(request, field, p);
            parts[count] = devcache_slice_str(normalise(field, value, p));
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

/* A target's parts in one line: those that say something, but not the last, which has the
 * values of fields that are in the key and may be secret. */
static const char *target_text(devcache_slice_t target, apr_pool_t *p)
{
    devcache_reader_t r = devcache_reader(target);
    const char *text = "";

    while (r.pos < r.end) {
        devcache_slice_t part = devcache_get_slice(&r);

        if (r.bad) {
            return text_of(target, p);
        }
        if (part.len && r.pos < r.end) {
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

/* --- weighted lists ------------------------------------------------------------------
 */

#define WEIGHTED_MAX 64  /* members; a longer list is compared as it stands */
#define WEIGHTED_MORE 10 /* bytes of a member besides its name: ", " and ";q=0.123" */

typedef struct {
    devcache_slice_t name;
    int weight; /* thousandths */
} weighted_t;

/* A token, perhaps with a weight, in lower case; 0 if the member is anything else. */
static int parse_weighted(devcache_slice_t member, weighted_t *out)
{
    devcache_slice_t rest;
    apr_size_t len = 0;

    while (len < member.len && devcache_field_tchar(member.data[len])) {
        len++;
    }
    if (!len) {
        return 0;
    }
    out->name = devcache_slice(member.data, len);
    out->weight = 1000;
    if (len == member.len) {
        return 1;
    }
    rest = devcache_field_trim(devcache_slice(member.data + len, member.len - len));
    if (!rest.len || rest.data[0] != ';') {
        return 0;
    }
    rest = devcache_field_trim(devcache_slice(rest.data + 1, rest.len - 1));
    if (rest.len < 2 || rest.data[0] != 'q' || rest.data[1] != '=') {
        return 0;
    }
    out->weight = devcache_field_qvalue(devcache_slice(rest.data + 2, rest.len - 2));
    return out->weight >= 0;
}

/* Does a stand before b? */
static int precedes(const weighted_t *a, const weighted_t *b)
{
    apr_size_t len = a->name.len < b->name.len ? a->name.len : b->name.len;
    int order;

    if (a->weight != b->weight) {
        return a->weight > b->weight;
    }
    order = memcmp(a->name.data, b->name.data, len);
    return order ? order < 0 : a->name.len < b->name.len;
}

/* Put into its place. 1 added or there already; 0 no room, or there with another weight.
 */
static int add_weighted(weighted_t *list, int *count, weighted_t item)
{
    int i;

    for (i = 0; i < *count; i++) {
        if (devcache_slice_eq(list[i].name, item.name)) {
            return list[i].weight == item.weight;
        }
    }
    if (*count == WEIGHTED_MAX) {
        return 0;
    }
    for (i = (*count)++; i > 0 && precedes(&item, &list[i - 1]); i--) {
        list[i] = list[i - 1];
    }
    list[i] = item;
    return 1;
}

static char *put_weight(char *out, int weight)
{
    *out++ = ';';
    *out++ = 'q';
    *out++ = '=';
    *out++ = '0';
    if (weight) {
        *out++ = '.';
        *out++ = (char)('0' + weight / 100);
        *out++ = (char)('0' + weight / 10 % 10);
        *out++ = (char)('0' + weight % 10);
    }
    return out;
}

static const char *weighted_text(const weighted_t *list, int count, apr_pool_t *p)
{
    apr_size_t bytes = 1;
    char *text, *out;
    int i;

    for (i = 0; i < count; i++) {
        bytes += list[i].name.len + WEIGHTED_MORE;
    }
    text = out = apr_palloc(p, bytes);
    for (i = 0; i < count; i++) {
        if (i) {
            *out++ = ',';
            *out++ = ' ';
        }
        memcpy(out, list[i].name.data, list[i].name.len);
        out += list[i].name.len;
        if (list[i].weight < 1000) {
            out = put_weight(out, list[i].weight);
        }
    }
    *out = '\0';
    return text;
}

/* Members sorted by weight, then by name: their order has no meaning (RFC 9110 section
 * 12.4.2). What is malformed, contradicts itself or is too long stays as it came, and so
 * can equal no canonical form. */
static const char *canonical(const char *value,
                             devcache_slice_t (*alias)(devcache_slice_t), apr_pool_t *p)
{
    weighted_t list[WEIGHTED_MAX], item;
    devcache_slice_t member;
    const char *cursor;
    int count = 0;

    if (!value) {
        return NULL;
    }
    cursor = devcache_field_lower(value, strlen(value), p);
    while (devcache_field_next(&cursor, &member)) {
        if (!parse_weighted(member, &item)) {
            return value;
        }
        item.name = alias ? alias(item.name) : item.name;
        if (!add_weighted(list, &count, item)) {
            return value;
        }
    }
    return weighted_text(list, count, p);
}

/* RFC 9110 section 8.4.1: old names of the same codings. */
static devcache_slice_t coding_alias(devcache_slice_t name)
{
    return devcache_field_is(name, "x-gzip") || devcache_field_is(name, "x-compress")
               ? devcache_slice(name.data + 2, name.len - 2)
               : name;
}

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
    return canonical(value, coding_alias, p);
}

const char *devcache_vary_accept_language(const char *value, apr_pool_t *p)
{
    return canonical(value, NULL, p);
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
    if (by_device) {
        show_device(&o, conf);
    }
    if (o.count > OUTWARD_MAX) {
        return "*";
    }
    return o.count ? join_names(&o, p) : NULL;
}
