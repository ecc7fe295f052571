/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include "base/utf8.h"

void devcache_json_init(devcache_json_t *j, devcache_json_put_fn *put, void *baton)
{
    memset(j, 0, sizeof *j);
    j->put = put;
    j->baton = baton;
}

/* ---- strings -------------------------------------------------------------------- */

/* Bytes of the UTF-8 character that begins here; 0: none does. */
static unsigned utf8_length(const unsigned char *s, apr_size_t left)
{
    devcache_utf8_t c = {0};
    unsigned n = 0;

    do {
        if (n == left || !devcache_utf8_step(&c, s[n++])) {
            return 0;
        }
    } while (c.more);
    return n;
}

/* U+0080 to U+009F, which terminals take for commands as they do those below U+0020. */
static int is_c1(const unsigned char *s, unsigned n)
{
    return n == 2 && s[0] == 0xc2 && s[1] < 0xa0;
}

/* The escape of a character that may not stand for itself, in @a text, which has room for
 * seven; 0: it may. */
static unsigned escape(char *text, unsigned char c)
{
    static const char from[] = "\b\t\n\f\r\"\\", to[] = "btnfr\"\\";
    const char *at = c ? strchr(from, c) : NULL;

    if (at) {
        text[0] = '\\';
        text[1] = to[at - from];
        return 2;
    }
    if (c < 0x20 || c == 0x7f) {
        return (unsigned)snprintf(text, 7, "\\u%04x", c);
    }
    return 0;
}

static void put_escaped(devcache_json_put_fn *put, void *baton, devcache_slice_t value)
{
    const unsigned char *s = (const unsigned char *)value.data;
    apr_size_t i = 0, plain = 0; /* from plain to i all stands for itself */

    while (i < value.len) {
        unsigned n = utf8_length(s + i, value.len - i), len;
        char text[8];
        if (n == 0) {
            memcpy(text, "\xef\xbf\xbd", 3);
            len = 3;
            n = 1;
        } else if (is_c1(s + i, n)) {
            len = (unsigned)snprintf(text, sizeof text, "\\u00%02x", s[i + 1]);
        } else if (n > 1 || (len = escape(text, s[i])) == 0) {
            i += n;
            continue;
        }
        if (i > plain) {
            put(baton, value.data + plain, i - plain);
        }
        put(baton, text, len);
        plain = i += n;
    }
    if (i > plain) {
        put(baton, value.data + plain, i - plain);
    }
}

/* ---- structure ------------------------------------------------------------------ */

static void put_text(devcache_json_t *j, const char *text)
{
    j->put(j->baton, text, strlen(text));
}

static void new_line(devcache_json_t *j)
{
    static const char blanks[] = "\n                ";

    j->put(j->baton, blanks, 1 + (j->depth < 16 ? j->depth : 16));
}

/* What comes before every value. */
static void begin(devcache_json_t *j, const char *name)
{
    if (j->begun) {
        put_text(j, ",");
    }
    if (j->depth) {
        new_line(j);
    }
    j->begun = 1;
    if (name) {
        put_text(j, "\"");
        put_escaped(j->put, j->baton, devcache_slice_str(name));
        put_text(j, "\": ");
    }
}

static void open(devcache_json_t *j, const char *name, int array)
{
    begin(j, name);
    put_text(j, array ? "[" : "{");
    j->arrays = (j->arrays & ~((apr_uint64_t)1 << j->depth)) |
                ((apr_uint64_t)array << j->depth);
    j->depth++;
    j->begun = 0;
}

void devcache_json_object(devcache_json_t *j, const char *name)
{
    open(j, name, 0);
}

void devcache_json_array(devcache_json_t *j, const char *name)
{
    open(j, name, 1);
}

void devcache_json_end(devcache_json_t *j)
{
    int filled = j->begun;

    j->depth--;
    if (filled) {
        new_line(j);
    }
    put_text(j, (j->arrays >> j->depth) & 1 ? "]" : "}");
    j->begun = 1;
    if (j->depth == 0) {
        put_text(j, "\n");
    }
}

/* ---- values --------------------------------------------------------------------- */

void devcache_json_bytes(devcache_json_t *j, const char *name, devcache_slice_t value)
{
    begin(j, name);
    put_text(j, "\"");
    put_escaped(j->put, j->baton, value);
    put_text(j, "\"");
}

void devcache_json_string(devcache_json_t *j, const char *name, const char *value)
{
    devcache_json_bytes(j, name, devcache_slice_str(value));
}

void devcache_json_int(devcache_json_t *j, const char *name, apr_int64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%" APR_INT64_T_FMT, value);
    begin(j, name);
    put_text(j, text);
}

void devcache_json_uint(devcache_json_t *j, const char *name, apr_uint64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%" APR_UINT64_T_FMT, value);
    begin(j, name);
    put_text(j, text);
}

void devcache_json_bool(devcache_json_t *j, const char *name, int value)
{
    begin(j, name);
    put_text(j, value ? "true" : "false");
}

void devcache_json_null(devcache_json_t *j, const char *name)
{
    begin(j, name);
    put_text(j, "null");
}

void devcache_json_real(devcache_json_t *j, const char *name, double value, int decimals)
{
    apr_uint64_t scale = 1, scaled;
    char text[48];
    apr_size_t len;
    int places = decimals;

    if (!(fabs(value) < 1e12)) {
        devcache_json_null(j, name);
        return;
    }
    while (places-- > 0) {
        scale *= 10;
    }
    /* Not by %f: the point is another sign in some locales. */
    scaled = (apr_uint64_t)(fabs(value) * (double)scale + 0.5);
    for (places = decimals; places > 0 && scaled % 10 == 0; places--) {
        scaled /= 10;
        scale /= 10;
    }
    len = (apr_size_t)snprintf(text, sizeof text, "%s%" APR_UINT64_T_FMT,
                               value < 0 && scaled ? "-" : "", scaled / scale);
    if (places > 0) {
        text[len++] = '.';
    }
    for (; places > 0; places--) {
        scale /= 10;
        text[len++] = (char)('0' + scaled / scale % 10);
    }
    begin(j, name);
    j->put(j->baton, text, len);
}

/* ---- a string alone ------------------------------------------------------------- */

static void put_bytes(void *baton, const char *text, apr_size_t len)
{
    devcache_put_bytes(baton, text, len);
}

const char *devcache_json_escape(devcache_slice_t value, apr_pool_t *p)
{
    devcache_writer_t w = {NULL, 0};

    put_escaped(put_bytes, &w, value);
    w.buf = apr_palloc(p, w.len + 1);
    w.len = 0;
    put_escaped(put_bytes, &w, value);
    w.buf[w.len] = '\0';
    return (char *)w.buf;
}
