/* SPDX-License-Identifier: Apache-2.0 */
/*
 * top: what a cache is doing now, as a page that is drawn again and again.
 *
 * Rates are differences of two looks at the status page's ?json (or, with --root, at the
 * index), so the first page comes after one interval. On a terminal it is drawn on the
 * alternate screen, which is left again, with the terminal's settings restored, however
 * the program ends short of being killed; elsewhere one page is printed.
 */
#include "ctl.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <apr_strings.h>
#include <apr_time.h>

#define CTRL_C 3
#define URLS_MAX 200

/* ---- the terminal ------------------------------------------------------------------ */

static struct termios before;
static int changed; /* the terminal is ours */
static volatile sig_atomic_t ending;

static void note_end(int signo)
{
    ending = 1;
}

static void give_back(void)
{
    if (changed) {
        changed = 0;
        fputs("\033[?25h\033[?1049l", stdout);
        fflush(stdout);
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
    }
}

/* @return 0: there is no terminal to draw on and read keys from */
static int take_terminal(void)
{
    struct sigaction end = {.sa_handler = note_end};
    struct termios raw;

    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) ||
        tcgetattr(STDIN_FILENO, &before) != 0) {
        return 0;
    }
    sigaction(SIGTERM, &end, NULL);
    sigaction(SIGHUP, &end, NULL);
    sigaction(SIGINT, &end, NULL);
    atexit(give_back);
    changed = 1;
    raw = before;
    /* Ctrl-C comes as a key; Ctrl-Z would leave the screen as it is, so it does nothing.
     */
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    fputs("\033[?1049h\033[?25l", stdout);
    return 1;
}

/* Wait an interval. @return 0: it is time to end */
static int go_on(const ctl_t *c, int keys)
{
    struct pollfd in = {STDIN_FILENO, POLLIN, 0};
    apr_time_t until = apr_time_now() + (apr_time_t)(c->interval * 1e6);
    apr_time_t left;
    char key;

    while (!ending && (left = until - apr_time_now()) > 0) {
        int n = poll(&in, keys ? 1 : 0, (int)(left / 1000) + 1);

        if (n > 0) {
            if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q' ||
                key == CTRL_C) {
                return 0;
            }
        }
    }
    return !ending;
}

/* ---- numbers ----------------------------------------------------------------------- */

/* One look. */
typedef struct look_t {
    apr_time_t at;
    json_t *all; /* of the server; NULL with --root */
    apr_table_t *index;
    const char *error; /* NULL: none */
} look_t;

static void look(ctl_t *c, look_t *l)
{
    ctl_answer_t answer;

    memset(l, 0, sizeof(*l));
    l->at = apr_time_now();
    if (c->root) {
        l->index = apr_table_make(c->pool, 32);
        l->error = ctl_index_numbers(c, l->index) == CTL_OK ? NULL : "";
        return;
    }
    l->error = ctl_ask_status(c, "?json", &answer);
    if (l->error) {
        return;
    }
    l->all = json_loadb(answer.body, answer.len, 0, NULL);
    if (answer.status != 200 || !json_is_object(json_object_get(l->all, "totals"))) {
        json_decref(l->all);
        l->all = NULL;
        l->error = apr_psprintf(c->pool, CTL_NO_STATUS, c->url, answer.status);
    }
}

/* Within what integers hold, whatever the server says. */
static double number(const json_t *object, const char *name)
{
    double n = json_number_value(json_object_get(object, name));

    return n < -1e15 ? -1e15 : n < 1e15 ? n : 1e15;
}

static double seconds_between(const look_t *then, const look_t *now)
{
    double d = (double)(now->at - then->at) / 1e6;

    return d > 0.001 ? d : 0.001;
}

/* How much a number has grown a second; 0 when the server has begun anew. */
static double rate(const look_t *then, const look_t *now, const char *part,
                   const char *name)
{
    double grown = number(json_object_get(now->all, part), name) -
                   number(json_object_get(then->all, part), name);

    return grown > 0 ? grown / seconds_between(then, now) : 0;
}

/* ---- the page ---------------------------------------------------------------------- */

typedef struct page_t {
    ctl_t *c;
    const look_t *then, *now;
    const char *end; /* of each line: clears what stood there */
    int lines, columns, line;
    apr_pool_t *p;
} page_t;

/* A line, if there is room for it, cut at the right. */
static void row(page_t *page, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void row(page_t *page, const char *fmt, ...)
{
    char *text;
    va_list ap;

    if (page->line >= page->lines - 1) {
        return;
    }
    va_start(ap, fmt);
    text = apr_pvsprintf(page->p, fmt, ap);
    va_end(ap);
    if ((int)strlen(text) > page->columns) {
        text[page->columns] = '\0';
    }
    ctl_print_str(stdout, text);
    fputs(page->end, stdout);
    page->line++;
}

static const char *milliseconds(const page_t *page, const json_t *latency,
                                const char *name)
{
    const json_t *value = json_object_get(latency, name);

    return value ? apr_psprintf(page->p, "%.1f", json_number_value(value) * 1000) : "-";
}

static void latency_row(page_t *page, const char *name)
{
    const json_t *l = json_object_get(json_object_get(page->now->all, "latency"), name);

    row(page, "  %-8s %10.1f %9s %9s %9s", name,
        !strcmp(name, "origin") ? 0 : rate(page->then, page->now, "totals", name),
        milliseconds(page, l, "p50"), milliseconds(page, l, "p90"),
        milliseconds(page, l, "p99"));
}

static const char *percent(const page_t *page, double part, double whole)
{
    return whole > 0 ? apr_psprintf(page->p, "%.1f%%", 100 * part / whole) : "no";
}

static void traffic_rows(page_t *page)
{
    double all = rate(page->then, page->now, "totals", "requests");
    double hits = rate(page->then, page->now, "totals", "hit");
    static const char *const kinds[] = {"hit", "miss", "bypass", "error"};
    const json_t *totals = json_object_get(page->now->all, "totals");
    double ever = number(totals, "requests");
    int i;

    row(page, "requests %.1f/s, of them %s hits (since the start: %.0f, %s)", all,
        percent(page, hits, all), ever, percent(page, number(totals, "hit"), ever));
    row(page, "sent     %s/s from the cache, %s/s from the origin",
        ctl_bytes(
            (apr_uint64_t)rate(page->then, page->now, "totals", "bytes_sent_from_cache"),
            page->p),
        ctl_bytes(
            (apr_uint64_t)rate(page->then, page->now, "totals", "bytes_sent_from_origin"),
            page->p));
    row(page, "%s", "");
    row(page, "  %-8s %10s %9s %9s %9s", "", "/s", "p50 ms", "p90 ms", "p99 ms");
    for (i = 0; i < (int)(sizeof(kinds) / sizeof(*kinds)); i++) {
        latency_row(page, kinds[i]);
    }
    row(page, "%s", "");
}

static void store_row(page_t *page, const char *root, double bytes, double size,
                      double objects, double max)
{
    row(page, "stored   %s of %s, %.0f of %.0f objects, in %s",
        ctl_bytes((apr_uint64_t)bytes, page->p), ctl_bytes((apr_uint64_t)size, page->p),
        objects, max, root);
}

static void url_rows(page_t *page)
{
    const json_t *busiest = json_object_get(page->now->all, "busiest");
    const json_t *one;
    size_t i;

    row(page, "%s", "");
    row(page, "  %8s %6s  busiest URLs of the last %s", "requests", "hits",
        ctl_duration((apr_int64_t)number(busiest, "seconds"), page->p));
    json_array_foreach(json_object_get(busiest, "urls"), i, one)
    {
        double n = number(one, "requests"), sure = n - number(one, "over");
        const char *url = json_string_value(json_object_get(one, "url"));
        const char *many = apr_psprintf(page->p, "%s%.0f", sure < n / 2 ? "<=" : "", n);

        if (i < URLS_MAX) {
            row(page, "  %8s %5.0f%%  %s", many,
                sure > 0 ? 100 * number(one, "hits") / sure : 0, url ? url : "");
        }
    }
}

static void server_rows(page_t *page)
{
    const json_t *all = page->now->all, *store;
    const json_t *threads = json_object_get(all, "threads");
    size_t i;

    row(page, "%s, up %s", page->c->url,
        ctl_duration((apr_int64_t)(number(all, "time") - number(all, "started")),
                     page->p));
    traffic_rows(page);
    json_array_foreach(json_object_get(all, "stores"), i, store)
    {
        const char *root = json_string_value(json_object_get(store, "root"));

        store_row(page, root ? root : "", number(store, "bytes"), number(store, "size"),
                  number(store, "objects"), number(store, "max_objects"));
    }
    if (number(threads, "max") > 0) {
        row(page, "threads  %.0f of %.0f busy", number(threads, "busy"),
            number(threads, "max"));
    }
    url_rows(page);
}

static double indexed(const look_t *l, const char *name)
{
    const char *value = apr_table_get(l->index, name);

    return value ? (double)apr_atoi64(value) : 0;
}

static void index_rows(page_t *page)
{
    static const char *const names[] = {"published", "refreshed", "removed",
                                        "evicted",   "requeued",  "damaged",
                                        "io_errors", "no_room",   "superseded"};
    double seconds = seconds_between(page->then, page->now);
    int i;

    store_row(page, page->c->root, indexed(page->now, "store_bytes"),
              indexed(page->now, "store_size"), indexed(page->now, "store_objects"),
              indexed(page->now, "store_max_objects"));
    row(page, "%s", "");
    row(page, "  %-12s %10s %12s", "", "/s", "in all");
    for (i = 0; i < (int)(sizeof(names) / sizeof(*names)); i++) {
        const char *name = apr_pstrcat(page->p, "store_", names[i], NULL);
        double now = indexed(page->now, name);

        row(page, "  %-12s %10.1f %12.0f", names[i],
            (now - indexed(page->then, name)) / seconds, now);
    }
}

static void draw(ctl_t *c, const look_t *then, const look_t *now, int screen,
                 apr_pool_t *p)
{
    page_t page = {c, then, now, screen ? "\033[K\n" : "\n", 1 << 20, 1 << 20, 0, p};
    struct winsize size;

    if (screen) {
        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 2) {
            page.lines = size.ws_row;
            page.columns = size.ws_col ? size.ws_col : 80;
        }
        fputs("\033[H", stdout);
    }
    if (now->error) {
        row(&page, "%s", now->error);
    } else if (c->root) {
        index_rows(&page);
    } else {
        server_rows(&page);
    }
    if (screen) {
        fputs("\033[J(q ends)", stdout);
    }
    fflush(stdout);
}

/* ---- JSON: one round --------------------------------------------------------------- */

static void put_round(ctl_t *c, const look_t *then, const look_t *now)
{
    static const char *const names[] = {"requests",
                                        "hit",
                                        "miss",
                                        "bypass",
                                        "error",
                                        "bytes_sent_from_cache",
                                        "bytes_sent_from_origin"};
    devcache_json_t j;
    int i;

    ctl_json_begin(&j);
    devcache_json_object(&j, NULL);
    devcache_json_real(&j, "seconds", seconds_between(then, now), 3);
    devcache_json_object(&j, "per_second");
    for (i = 0; now->all && i < (int)(sizeof(names) / sizeof(*names)); i++) {
        devcache_json_real(&j, names[i], rate(then, now, "totals", names[i]), 3);
    }
    if (now->index) {
        double grown = indexed(now, "store_published") - indexed(then, "store_published");
        devcache_json_real(&j, "store_published", grown / seconds_between(then, now), 3);
        grown = indexed(now, "store_evicted") - indexed(then, "store_evicted");
        devcache_json_real(&j, "store_evicted", grown / seconds_between(then, now), 3);
    }
    devcache_json_end(&j);
    devcache_json_end(&j);
}

/* ---- rounds ------------------------------------------------------------------------ */

static int one_round(ctl_t *c, look_t *then)
{
    look_t now;

    go_on(c, 0);
    look(c, &now);
    if (now.error) {
        return *now.error ? ctl_fail(c, "%s", now.error) : CTL_FAILED;
    }
    if (c->json) {
        put_round(c, then, &now);
    } else {
        draw(c, then, &now, 0, c->pool);
    }
    json_decref(now.all);
    return CTL_OK;
}

static void rounds(ctl_t *c, look_t *then)
{
    apr_pool_t *own = c->pool, *pools[2];
    look_t now;
    int turn = 0;

    apr_pool_create(&pools[0], own);
    apr_pool_create(&pools[1], own);
    fputs("waiting for the first numbers ... (q ends)", stdout);
    fflush(stdout);
    while (go_on(c, 1)) {
        c->pool = pools[turn];
        apr_pool_clear(c->pool);
        look(c, &now);
        draw(c, then, &now, 1, c->pool);
        if (now.error) {
            continue; /* the server may come back */
        }
        json_decref(then->all);
        *then = now;
        turn = !turn;
    }
    c->pool = own;
}

int ctl_top(ctl_t *c)
{
    look_t then;
    int rv = CTL_OK;

    look(c, &then);
    if (then.error) {
        return *then.error ? ctl_fail(c, "%s", then.error) : CTL_WRONG;
    }
    if (!c->once && !c->json && take_terminal()) {
        rounds(c, &then);
        give_back();
    } else {
        rv = one_round(c, &then);
    }
    json_decref(then.all);
    return rv;
}
