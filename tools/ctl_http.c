/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of devcachectl: a thin layer over libcurl.
 *
 * The server is asked directly, whatever proxy the environment names: its answers are
 * about this server, and its status page is often for localhost only.
 */
#include "ctl.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#define CONNECT_SECONDS 5L
#define ANSWER_SECONDS 30L

typedef struct taking_t {
    ctl_answer_t *out;
    apr_size_t room;
    apr_pool_t *p;
} taking_t;

static size_t take_body(char *data, size_t size, size_t n, void *baton)
{
    taking_t *t = baton;
    size_t len = size * n;

    if (len > CTL_BODY_MAX - t->out->len) {
        return 0;
    }
    if (t->out->len + len >= t->room) {
        apr_size_t room = (t->out->len + len) * 2 + 4096;
        char *larger = apr_palloc(t->p, room);

        memcpy(larger, t->out->body, t->out->len);
        t->out->body = larger;
        t->room = room;
    }
    memcpy(t->out->body + t->out->len, data, len);
    t->out->len += len;
    t->out->body[t->out->len] = '\0';
    return len;
}

static size_t take_header(char *data, size_t size, size_t n, void *baton)
{
    taking_t *t = baton;
    size_t len = size * n;
    char *line = apr_pstrmemdup(t->p, data, len);
    char *colon = strchr(line, ':');

    if (!strncmp(line, "HTTP/", 5)) {
        apr_table_clear(t->out->headers); /* another answer begins, after a 1xx */
    } else if (colon) {
        *colon++ = '\0';
        colon += strspn(colon, " \t");
        colon[strcspn(colon, "\r\n")] = '\0';
        apr_table_add(t->out->headers, line, colon);
    }
    return len;
}

CURL *ctl_curl(ctl_t *c, const char *url)
{
    CURL *curl = curl_easy_init();

    if (curl) {
        curl_easy_setopt(curl, CURLOPT_URL, url);
        curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
        curl_easy_setopt(curl, CURLOPT_USERAGENT, "devcachectl");
        curl_easy_setopt(curl, CURLOPT_CONNECT_TO, c->connect);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, c->insecure ? 0L : 1L);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, c->insecure ? 0L : 2L);
    }
    return curl;
}

const char *ctl_ask(ctl_t *c, const char *method, const char *url,
                    struct curl_slist *headers, ctl_answer_t *out)
{
    CURL *curl = ctl_curl(c, url);
    char error[CURL_ERROR_SIZE] = "";
    taking_t t = {out, 0, c->pool};
    CURLcode rc;

    memset(out, 0, sizeof(*out));
    out->body = apr_pstrdup(c->pool, "");
    out->headers = apr_table_make(c->pool, 8);
    if (!curl) {
        return "libcurl does not start";
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, ANSWER_SECONDS);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &t);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &t);
    rc = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &out->status);
    curl_easy_cleanup(curl);
    if (rc == CURLE_WRITE_ERROR) {
        return apr_psprintf(c->pool, "%s: the answer is longer than %u MB", url,
                            CTL_BODY_MAX >> 20);
    }
    if (rc != CURLE_OK) {
        return apr_psprintf(c->pool, "%s: %s", url,
                            *error ? error : curl_easy_strerror(rc));
    }
    return NULL;
}

const char *ctl_ask_status(ctl_t *c, const char *query, ctl_answer_t *out)
{
    const char *url = apr_pstrcat(c->pool, c->url, query, NULL);
    const char *error = ctl_ask(c, "GET", url, NULL, out);

    return error ? apr_pstrcat(c->pool, error,
                               "; does the server run, and is its devcache-status page "
                               "there (--url or DEVCACHE_STATUS_URL)?",
                               NULL)
                 : NULL;
}
