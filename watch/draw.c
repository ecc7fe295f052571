/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/draw.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_protocol.h>

#define NONE "\xe2\x80\x93" /* a dash */

/* ---- numbers -------------------------------------------------------------------- */

const char *devcache_draw_number(apr_uint64_t n, apr_pool_t *p)
{
    const char *digits = apr_psprintf(p, "%" APR_UINT64_T_FMT, n);
    apr_size_t len = strlen(digits), i;
    char *out = apr_palloc(p, len + len / 3 + 1), *at = out;

    for (i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0) {
            *at++ = ',';
        }
        *at++ = digits[i];
    }
    *at = '\0';
    return out;
}

/* Two digits where there are few, none behind the point where there are many. */
static const char *rounded(double n, const char *unit, apr_pool_t *p)
{
    return apr_psprintf(p, n < 9.95 ? "%.1f %s" : "%.0f %s", n, unit);
}

const char *devcache_draw_duration(double usec, apr_pool_t *p)
{
    if (usec < 0) {
        return NONE;
    }
    return usec < 999.5     ? apr_psprintf(p, "%.0f \xc2\xb5s", usec)
           : usec < 999.5e3 ? rounded(usec / 1e3, "ms", p)
                            : rounded(usec / 1e6, "s", p);
}

const char *devcache_draw_span(apr_interval_time_t usec, apr_pool_t *p)
{
    static const struct {
        apr_int64_t seconds;
        const char *one, *many;
    } units[] = {
        {86400, "day", "days"}, {3600, "hour", "hours"}, {60, "minute", "minutes"}};
    apr_int64_t seconds = usec > 0 ? apr_time_sec(usec) : 0;
    unsigned i;

    for (i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (seconds >= units[i].seconds) {
            apr_int64_t n = seconds / units[i].seconds;
            return apr_psprintf(p, "%" APR_INT64_T_FMT " %s", n,
                                n == 1 ? units[i].one : units[i].many);
        }
    }
    return apr_psprintf(p, "%" APR_INT64_T_FMT " %s", seconds,
                        seconds == 1 ? "second" : "seconds");
}

const char *devcache_draw_bytes(apr_uint64_t n, apr_pool_t *p)
{
    static const char *const units[] = {"KB", "MB", "GB", "TB", "PB"};
    double value = (double)n / 1024;
    unsigned i = 0;

    if (n < 1024) {
        return apr_psprintf(p, "%d B", (int)n);
    }
    while (value >= 999.5 && i < 4) {
        value /= 1024;
        i++;
    }
    return rounded(value, units[i], p);
}

static double percent(apr_uint64_t part, apr_uint64_t of)
{
    return of ? 100.0 * (double)part / (double)of : 0;
}

const char *devcache_draw_share(apr_uint64_t part, apr_uint64_t of, apr_pool_t *p)
{
    double share = percent(part, of);

    if (!of) {
        return NONE;
    }
    /* Not 100 % while one is missing, nor 0 % where there is one. */
    if (share > 99.9 && part < of) {
        share = 99.9;
    } else if (share < 0.1 && part) {
        share = 0.1;
    }
    return apr_psprintf(p, part == of || !part ? "%.0f %%" : "%.1f %%", share);
}

const char *devcache_draw_text(const char *s, apr_pool_t *p)
{
    char *out = ap_escape_html2(p, s, 0), *at;

    for (at = out; *at; at++) {
        if (apr_iscntrl(*at)) {
            *at = ' ';
        }
    }
    return out;
}

/* ---- groups --------------------------------------------------------------------- */

static const char *const group_names[] = {"hits", "misses", "bypassed", "failed"};
static const char *const group_classes[] = {"hit", "miss", "byp", "err"};

const char *devcache_draw_group(unsigned group)
{
    return group_names[group];
}

const char *devcache_draw_group_class(unsigned group)
{
    return group_classes[group];
}

apr_uint64_t devcache_draw_sum(const apr_uint64_t n[DEVCACHE_GROUP_COUNT])
{
    apr_uint64_t all = 0;
    unsigned i;

    for (i = 0; i < DEVCACHE_GROUP_COUNT; i++) {
        all += n[i];
    }
    return all;
}

/* "120 requests: 100 hits, 19 misses, 0 bypassed, 1 failed" */
static const char *in_words(const apr_uint64_t n[DEVCACHE_GROUP_COUNT], apr_pool_t *p)
{
    const char *words = apr_pstrcat(p, devcache_draw_number(devcache_draw_sum(n), p),
                                    " requests", NULL);
    unsigned i;

    for (i = 0; i < DEVCACHE_GROUP_COUNT; i++) {
        words = apr_pstrcat(p, words, i ? ", " : ": ", devcache_draw_number(n[i], p), " ",
                            group_names[i], NULL);
    }
    return words;
}

/* ---- bars ----------------------------------------------------------------------- */

void devcache_draw_shares(request_rec *r, const apr_uint64_t n[DEVCACHE_GROUP_COUNT])
{
    const char *words = in_words(n, r->pool);
    unsigned i;

    ap_rprintf(r, "<span class=\"bar\" role=\"img\" aria-label=\"%s\" title=\"%s\">",
               words, words);
    for (i = 0; i < DEVCACHE_GROUP_COUNT; i++) {
        if (n[i]) {
            ap_rprintf(r, "<i class=\"%s\" style=\"width:%.2f%%\"></i>", group_classes[i],
                       percent(n[i], devcache_draw_sum(n)));
        }
    }
    ap_rputs("</span>", r);
}

void devcache_draw_fill(request_rec *r, const char *what, const char *text,
                        apr_uint64_t part, apr_uint64_t of, int tight)
{
    double share = percent(part < of ? part : of, of);

    ap_rprintf(r,
               "<div class=\"fill\"><span>%s</span><span>%s</span>"
               "<span class=\"bar\"><i class=\"%s\" style=\"width:%.2f%%\"></i></span>"
               "</div>\n",
               devcache_draw_text(what, r->pool), devcache_draw_text(text, r->pool),
               tight && share >= 90 ? "err" : "use", share);
}

/* ---- charts --------------------------------------------------------------------- */

#define STEP 10 /* units of the drawing for one minute, of which a tenth is left free */

/* One minute as a column that is @a height units high at the most. */
static void column(request_rec *r, unsigned at,
                   const apr_uint64_t n[DEVCACHE_GROUP_COUNT], apr_uint64_t full,
                   double height)
{
    double top = height;
    unsigned i;

    for (i = 0; i < DEVCACHE_GROUP_COUNT; i++) {
        double high = full ? height * (double)n[i] / (double)full : 0;
        if (n[i]) {
            top -= high;
            ap_rprintf(r,
                       "<rect class=\"%s\" x=\"%u\" y=\"%.2f\" width=\"%d\" "
                       "height=\"%.2f\"/>",
                       group_classes[i], at * STEP, top, STEP - 1, high);
        }
    }
}

/* @a shares: each column is full; else as high as its minute was busy. */
static void columns(request_rec *r, const devcache_minute_t m[DEVCACHE_MINUTES],
                    int shares, apr_uint64_t most, const char *label)
{
    unsigned i;

    ap_rprintf(r,
               "<svg class=\"%s\" viewBox=\"0 0 %d 100\" preserveAspectRatio=\"none\" "
               "role=\"img\" aria-label=\"%s\">",
               shares ? "share" : "volume", DEVCACHE_MINUTES * STEP, label);
    for (i = 0; i < DEVCACHE_MINUTES; i++) {
        apr_uint64_t all = devcache_draw_sum(m[i].groups);
        unsigned ago = DEVCACHE_MINUTES - 1 - i;
        ap_rprintf(r,
                   "<g><title>%s %s</title><rect class=\"ground\" x=\"%u\" y=\"0\" "
                   "width=\"%d\" height=\"100\"/>",
                   ago ? apr_psprintf(r->pool, "%u min ago,", ago) : "this minute,",
                   in_words(m[i].groups, r->pool), i * STEP, STEP - 1);
        column(r, i, m[i].groups, shares ? all : most, 100);
        ap_rputs("</g>", r);
    }
    ap_rputs("</svg>\n", r);
}

void devcache_draw_minutes(request_rec *r, const devcache_minute_t m[DEVCACHE_MINUTES])
{
    apr_uint64_t most = 0;
    unsigned i;

    for (i = 0; i < DEVCACHE_MINUTES; i++) {
        most = devcache_draw_sum(m[i].groups) > most ? devcache_draw_sum(m[i].groups)
                                                     : most;
    }
    ap_rputs("<p class=\"axis\"><span>share of each minute\xe2\x80\x99s requests</span>"
             "<span>100 %</span></p>\n",
             r);
    columns(r, m, 1, 0, "How requests were answered, minute by minute");
    ap_rprintf(r, "<p class=\"axis\"><span>requests a minute</span><span>%s</span></p>\n",
               devcache_draw_number(most, r->pool));
    columns(r, m, 0, most, "How many requests came, minute by minute");
    ap_rputs("<p class=\"axis\"><span>60 min ago</span><span>45</span><span>30</span>"
             "<span>15</span><span>now</span></p>\n",
             r);
}

void devcache_draw_histogram(request_rec *r, const char *class,
                             const devcache_histogram_t *h)
{
    apr_uint64_t all = devcache_histogram_total(h), most = 1;
    unsigned i;

    for (i = 0; i < DEVCACHE_BUCKET_COUNT; i++) {
        most = h->buckets[i] > most ? h->buckets[i] : most;
    }
    ap_rprintf(r,
               "<svg class=\"hist\" viewBox=\"0 0 %d 100\" preserveAspectRatio=\"none\" "
               "role=\"img\" aria-label=\"How long they took\">",
               DEVCACHE_BUCKET_COUNT * STEP);
    for (i = 0; i < DEVCACHE_BUCKET_COUNT; i++) {
        double high = 100.0 * (double)h->buckets[i] / (double)most;
        const char *bound = devcache_draw_duration(
            (double)devcache_histogram_bound(i < DEVCACHE_BOUNDS ? i : i - 1), r->pool);
        ap_rprintf(r,
                   "<g><title>%s %s: %s of %s</title><rect class=\"ground\" x=\"%u\" "
                   "y=\"0\" width=\"%d\" height=\"100\"/>",
                   i < DEVCACHE_BOUNDS ? "up to" : "over", bound,
                   devcache_draw_number(h->buckets[i], r->pool),
                   devcache_draw_number(all, r->pool), i * STEP, STEP - 1);
        if (h->buckets[i]) {
            high = high < 3 ? 3 : high; /* to be seen at all */
            ap_rprintf(r,
                       "<rect class=\"%s\" x=\"%u\" y=\"%.2f\" width=\"%d\" "
                       "height=\"%.2f\"/>",
                       class, i * STEP, 100 - high, STEP - 1, high);
        }
        ap_rputs("</g>", r);
    }
    ap_rputs("</svg>", r);
}
