/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How devcachectl prints.
 */
#include "ctl.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>
#include <apr_time.h>

#define BAR_WIDTH 40
#define REDRAW (100 * 1000) /* microseconds */

/* Some of it may be a server's words. */
static void say(const ctl_t *c, const char *fmt, va_list ap)
{
    fflush(stdout);
    fprintf(stderr, "devcachectl %s: ", c->verb);
    ctl_print_str(stderr, apr_pvsprintf(c->pool, fmt, ap));
    fputc('\n', stderr);
}

int ctl_fail(const ctl_t *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(c, fmt, ap);
    va_end(ap);
    return CTL_FAILED;
}

int ctl_wrong(const ctl_t *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(c, fmt, ap);
    va_end(ap);
    return CTL_WRONG;
}

/* ---- values ----------------------------------------------------------------------- */

static void put(void *baton, const char *text, apr_size_t len)
{
    fwrite(text, 1, len, stdout);
}

void ctl_json_begin(devcache_json_t *j)
{
    devcache_json_init(j, put, NULL);
}

void ctl_print_json(const json_t *value)
{
    char *text = json_dumps(value,
                            JSON_INDENT(1) | JSON_ENSURE_ASCII | JSON_PRESERVE_ORDER);

    puts(text ? text : "null");
    free(text);
}

void ctl_print(FILE *to, devcache_slice_t s)
{
    apr_size_t i;

    for (i = 0; i < s.len; i++) {
        unsigned char ch = (unsigned char)s.data[i];

        if (ch >= ' ' && ch < 0x7f) {
            fputc(ch, to);
        } else {
            fprintf(to, "\\x%02x", ch);
        }
    }
}

void ctl_print_str(FILE *to, const char *s)
{
    ctl_print(to, devcache_slice_str(s));
}

const char *ctl_bytes(apr_uint64_t bytes, apr_pool_t *p)
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB", "PB", NULL};
    double value = (double)bytes;
    int unit = 0;

    while (value >= 999.5 && units[unit + 1]) {
        value /= 1024;
        unit++;
    }
    if (unit == 0) {
        return apr_psprintf(p, "%" APR_UINT64_T_FMT "B", bytes);
    }
    return apr_psprintf(p, value < 9.95 ? "%.1f%s" : "%.0f%s", value, units[unit]);
}

const char *ctl_duration(apr_int64_t seconds, apr_pool_t *p)
{
    apr_int64_t n = seconds < -APR_INT64_MAX ? APR_INT64_MAX
                    : seconds < 0            ? -seconds
                                             : seconds;
    const char *sign = seconds < 0 ? "-" : "";

    return n < 300      ? apr_psprintf(p, "%s%ds", sign, (int)n)
           : n < 18000  ? apr_psprintf(p, "%s%dm", sign, (int)(n / 60))
           : n < 345600 ? apr_psprintf(p, "%s%dh", sign, (int)(n / 3600))
                        : apr_psprintf(p, "%s%" APR_INT64_T_FMT "d", sign, n / 86400);
}

const char *ctl_instant(apr_time_t t, apr_pool_t *p)
{
    apr_time_exp_t x;

    if (apr_time_exp_gmt(&x, t) != APR_SUCCESS) {
        return "-";
    }
    return apr_psprintf(p, "%04d-%02d-%02d %02d:%02d:%02d UTC", x.tm_year + 1900,
                        x.tm_mon + 1, x.tm_mday, x.tm_hour, x.tm_min, x.tm_sec);
}

/* ---- progress --------------------------------------------------------------------- */

void ctl_progress_begin(ctl_progress_t *g, const char *what, apr_uint64_t total)
{
    memset(g, 0, sizeof(*g));
    g->what = what;
    g->total = total;
    g->bar = isatty(STDERR_FILENO);
}

static unsigned hundredths(const ctl_progress_t *g)
{
    return g->total == 0 || g->done >= g->total
               ? 100
               : (unsigned)((double)g->done * 100 / (double)g->total);
}

static void draw(ctl_progress_t *g)
{
    static const char full[] = "########################################";
    unsigned percent = hundredths(g);
    int width = (int)(percent * BAR_WIDTH / 100);

    fprintf(stderr, "\r%s [%.*s%*s] %3u%%", g->what, width, full, BAR_WIDTH - width, "",
            percent);
    fflush(stderr);
}

void ctl_progress_step(ctl_progress_t *g, apr_uint64_t done)
{
    apr_time_t now;

    g->done += done;
    if (!g->bar) {
        if ((int)hundredths(g) / 10 > g->tenth) {
            g->tenth = (int)hundredths(g) / 10;
            fprintf(stderr, "%s: %d%%\n", g->what, g->tenth * 10);
        }
        return;
    }
    now = apr_time_now();
    if (now - g->drawn >= REDRAW || now < g->drawn) {
        g->drawn = now;
        draw(g);
    }
}

void ctl_progress_hide(ctl_progress_t *g)
{
    if (g->bar && g->drawn) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
        g->drawn = 0;
    }
}

void ctl_progress_end(ctl_progress_t *g)
{
    if (g->bar) {
        g->done = g->total;
        draw(g);
        fputc('\n', stderr);
    } else if (g->tenth < 10) {
        fprintf(stderr, "%s: 100%%\n", g->what);
    }
}
