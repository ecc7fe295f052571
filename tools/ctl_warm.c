/* SPDX-License-Identifier: Apache-2.0 */
/*
 * warm: ask for URLs as each class of device would, so that visitors find them stored.
 *
 * Requests are begun at a bounded rate and are under way in a bounded number, by one
 * thread and libcurl's multi interface. Bodies are read and thrown away: a response is
 * stored when all of it has passed.
 */
#include "ctl.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>
#include <apr_time.h>

#define PATIENCE_SECONDS 60L
#define LINE_MAX_BYTES 8192
#define STATUSES 600

/* A visitor of each class. */
static const struct {
    const char *class, *agent;
} visitors[] = {
    {"pc", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
           "Chrome/130.0.0.0 Safari/537.36 devcachectl-warm"},
    {"tablet", "Mozilla/5.0 (Linux; Android 14; SM-X710) AppleWebKit/537.36 (KHTML, like "
               "Gecko) Chrome/130.0.0.0 Safari/537.36 devcachectl-warm"},
    {"mobile", "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like "
               "Gecko) Chrome/130.0.0.0 Mobile Safari/537.36 devcachectl-warm"},
};

#define VISITORS ((int)(sizeof(visitors) / sizeof(*visitors)))

/* How the cache came into it, by Cache-Status or else by Age. */
typedef enum how_e { HIT, STORED, NOT_STORED, UNKNOWN, HOWS } how_e;

static const char *const how_names[] = {"hit", "stored", "not_stored", "unknown"};

typedef struct warm_t {
    ctl_t *c;
    CURLM *multi;
    apr_array_header_t *urls; /* const char * */
    struct curl_slist *headers;
    ctl_sitemap_t sitemaps;
    ctl_progress_t progress;
    int next;    /* of urls * VISITORS */
    int running; /* requests under way */
    apr_time_t begun;
    unsigned statuses[STATUSES];
    unsigned hows[HOWS];
    unsigned failed;     /* no answer */
    const char *failure; /* the first one */
} warm_t;

typedef struct one_t {
    const char *url;
    how_e how;
} one_t;

/* ---- the list --------------------------------------------------------------------- */

/* @return NULL, or what is wrong with this URL, which came from @a where */
static const char *take_url(warm_t *w, const char *url, const char *where)
{
    if (strncmp(url, "http://", 7) && strncmp(url, "https://", 8)) {
        return apr_psprintf(
            w->c->pool, "%s is not a URL: it begins with neither http:// nor https://",
            where);
    }
    APR_ARRAY_PUSH(w->urls, const char *) = apr_pstrdup(w->c->pool, url);
    return NULL;
}

/* @return NULL, or what is wrong with the file */
static const char *read_file(warm_t *w)
{
    const char *name = w->c->file;
    FILE *in = strcmp(name, "-") ? fopen(name, "r") : stdin;
    const char *error = NULL;
    char line[LINE_MAX_BYTES];
    int n = 0;

    if (!in) {
        return apr_psprintf(w->c->pool, "'%s' cannot be opened", name);
    }
    while (!error && fgets(line, sizeof(line), in)) {
        const char *url = line + strspn(line, " \t");
        const char *where = apr_psprintf(w->c->pool, "%s:%d", name, ++n);

        if (strlen(line) == sizeof(line) - 1) {
            error = apr_psprintf(w->c->pool, "%s is longer than a URL may be", where);
        }
        line[strcspn(line, "\r\n")] = '\0';
        if (!error && *url && *url != '#') {
            error = take_url(w, url, where);
        }
    }
    if (in != stdin) {
        fclose(in);
    }
    return error;
}

static const char *read_sitemap(warm_t *w)
{
    struct curl_slist *headers = NULL;
    const char *error;
    int i;

    for (i = 0; i < w->c->headers->nelts; i++) {
        const char *header = APR_ARRAY_IDX(w->c->headers, i, const char *);

        if (strncasecmp(header, "Accept-Encoding:", 16)) {
            headers = curl_slist_append(headers, header);
        }
    }
    error = ctl_sitemap(w->c, w->c->sitemap, headers, w->urls, &w->sitemaps);
    curl_slist_free_all(headers);
    return error;
}

/* The URLs of the command line, then those of the file. @return NULL, or what is wrong */
static const char *read_urls(warm_t *w)
{
    const char *error = NULL;
    int i;

    for (i = 0; i < w->c->argc && !error; i++) {
        error = take_url(w, w->c->argv[i],
                         apr_psprintf(w->c->pool, "'%s'", w->c->argv[i]));
    }
    if (!error && w->c->file) {
        error = read_file(w);
    }
    if (!error && w->c->sitemap) {
        error = read_sitemap(w);
    }
    return error            ? error
           : w->urls->nelts ? NULL
           : w->c->sitemap  ? "there is no URL of its host in the sitemap"
           : w->c->file     ? "there is no URL in the list"
                        : "give URLs, or a list of them by -f FILE (- is standard input)";
}

/* ---- requests --------------------------------------------------------------------- */

static size_t drop_body(char *data, size_t size, size_t n, void *baton)
{
    return size * n;
}

static int begins(const char *line, size_t len, const char *name)
{
    size_t n = strlen(name);

    return len > n && !strncasecmp(line, name, n);
}

/* RFC 9211: "devcache; hit; ..." or "devcache; fwd=uri-miss; ...; stored; ..." */
static size_t take_header(char *data, size_t size, size_t n, void *baton)
{
    one_t *one = baton;
    size_t len = size * n;
    char line[1024];

    snprintf(line, sizeof(line), "%.*s", (int)len, data);
    if (begins(line, len, "HTTP/")) {
        one->how = UNKNOWN;
    } else if (begins(line, len, "Cache-Status:") && strstr(line, "devcache")) {
        one->how = strstr(line, "; hit")      ? HIT
                   : strstr(line, "; stored") ? STORED
                                              : NOT_STORED;
    } else if (begins(line, len, "Age:") && one->how == UNKNOWN) {
        one->how = HIT;
    }
    return len;
}

static void begin_next(warm_t *w)
{
    const char *url = APR_ARRAY_IDX(w->urls, w->next / VISITORS, const char *);
    int visitor = w->next % VISITORS;
    one_t *one = calloc(1, sizeof(*one));
    CURL *curl = one ? ctl_curl(w->c, url) : NULL;

    w->next++;
    if (!curl) {
        free(one);
        w->failed++;
        w->failure = "there is not enough memory";
        return;
    }
    one->url = url;
    one->how = UNKNOWN;
    curl_easy_setopt(curl, CURLOPT_USERAGENT, visitors[visitor].agent);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, w->headers);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, PATIENCE_SECONDS);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop_body);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, one);
    curl_easy_setopt(curl, CURLOPT_PRIVATE, one);
    curl_multi_add_handle(w->multi, curl);
    w->running++;
}

static void finish(warm_t *w, CURL *curl, CURLcode rc)
{
    one_t *one = NULL;
    long status = 0;

    curl_easy_getinfo(curl, CURLINFO_PRIVATE, &one);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (rc == CURLE_OK && status > 0 && status < STATUSES) {
        w->statuses[status]++;
        w->hows[one->how]++;
    } else {
        w->failed++;
        w->failure = w->failure ? w->failure
                                : apr_psprintf(w->c->pool, "%s: %s", one->url,
                                               curl_easy_strerror(rc));
    }
    curl_multi_remove_handle(w->multi, curl);
    curl_easy_cleanup(curl);
    free(one);
    w->running--;
    ctl_progress_step(&w->progress, 1);
}

/* How long to wait for answers, or until the next request may begin; milliseconds. */
static int pause_of(const warm_t *w, int all)
{
    apr_time_t due = w->begun + (apr_time_t)((double)w->next / w->c->rate * 1e6);
    apr_time_t left = due - apr_time_now();

    if (w->next == all || w->running >= w->c->concurrency) {
        return 1000;
    }
    return left <= 0 ? 0 : left > 1000 * 1000 ? 1000 : (int)(left / 1000) + 1;
}

static void run(warm_t *w)
{
    int all = w->urls->nelts * VISITORS, left;
    CURLMsg *done;

    w->begun = apr_time_now();
    while (w->next < all || w->running) {
        while (w->next < all && pause_of(w, all) == 0) {
            begin_next(w);
        }
        curl_multi_perform(w->multi, &left);
        while ((done = curl_multi_info_read(w->multi, &left))) {
            if (done->msg == CURLMSG_DONE) {
                finish(w, done->easy_handle, done->data.result);
            }
        }
        if (w->next < all || w->running) {
            curl_multi_poll(w->multi, NULL, 0, pause_of(w, all), NULL);
        }
    }
}

/* ---- the sum ---------------------------------------------------------------------- */

static void put_sum(const warm_t *w)
{
    devcache_json_t j;
    int i;

    ctl_json_begin(&j);
    devcache_json_object(&j, NULL);
    devcache_json_int(&j, "urls", w->urls->nelts);
    devcache_json_int(&j, "requests", w->next);
    devcache_json_object(&j, "status");
    for (i = 0; i < STATUSES; i++) {
        if (w->statuses[i]) {
            devcache_json_uint(&j, apr_itoa(w->c->pool, i), w->statuses[i]);
        }
    }
    devcache_json_end(&j);
    for (i = 0; i < HOWS; i++) {
        devcache_json_uint(&j, how_names[i], w->hows[i]);
    }
    devcache_json_uint(&j, "no_answer", w->failed);
    if (w->c->sitemap) {
        devcache_json_uint(&j, "sitemaps", w->sitemaps.files);
        devcache_json_uint(&j, "elsewhere", w->sitemaps.elsewhere);
        devcache_json_uint(&j, "too_many", w->sitemaps.too_many);
    }
    devcache_json_end(&j);
}

static void print_sum(const warm_t *w)
{
    int i;

    if (w->c->sitemap) {
        printf("%u sitemaps; %u entries were of other hosts, %u too many\n",
               w->sitemaps.files, w->sitemaps.elsewhere, w->sitemaps.too_many);
    }
    printf("%d URLs, %d requests in %s:", w->urls->nelts, w->next,
           ctl_duration((apr_time_now() - w->begun) / APR_USEC_PER_SEC, w->c->pool));
    for (i = 0; i < STATUSES; i++) {
        if (w->statuses[i]) {
            printf(" %u with status %d,", w->statuses[i], i);
        }
    }
    printf(" %u without an answer\n", w->failed);
    printf("%u were in the cache, %u are now, %u are not stored, of %u it is not known\n",
           w->hows[HIT], w->hows[STORED], w->hows[NOT_STORED], w->hows[UNKNOWN]);
}

static int sum_up(warm_t *w)
{
    unsigned errors = 0;
    int i;

    for (i = 500; i < STATUSES; i++) {
        errors += w->statuses[i];
    }
    if (w->c->json) {
        put_sum(w);
    } else {
        print_sum(w);
    }
    if (w->failed) {
        return ctl_fail(w->c, "%s", w->failure);
    }
    return errors ? CTL_FAILED : CTL_OK;
}

int ctl_warm(ctl_t *c)
{
    warm_t w = {c};
    const char *error;
    int i, rv;

    w.urls = apr_array_make(c->pool, 64, sizeof(const char *));
    if ((error = read_urls(&w))) {
        return ctl_wrong(c, "%s", error);
    }
    /* Before those of -H, so that one of those may be another. */
    w.headers = curl_slist_append(NULL, "Accept-Encoding: gzip, deflate, br, zstd");
    for (i = 0; i < c->headers->nelts; i++) {
        const char *header = APR_ARRAY_IDX(c->headers, i, const char *);

        if (!strncasecmp(header, "Accept-Encoding:", 16)) {
            curl_slist_free_all(w.headers);
            w.headers = NULL;
        }
        w.headers = curl_slist_append(w.headers, header);
    }
    w.multi = curl_multi_init();
    curl_multi_setopt(w.multi, CURLMOPT_MAXCONNECTS, c->concurrency);
    ctl_progress_begin(&w.progress, "warm", (apr_uint64_t)w.urls->nelts * VISITORS);
    run(&w);
    ctl_progress_end(&w.progress);
    rv = sum_up(&w);
    curl_multi_cleanup(w.multi);
    curl_slist_free_all(w.headers);
    return rv;
}
