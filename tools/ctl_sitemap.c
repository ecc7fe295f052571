/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sitemaps: the URLs of a site, as it tells search engines (sitemaps.org, protocol 0.9).
 *
 * A file is a list of URLs, or of other files (an index, whose files are no indexes). It is
 * XML, perhaps gzipped. What is in it comes from a server, so all of it is bounded: files,
 * URLs, bytes before and after inflating; expat knows no external entities here. Only URLs
 * and files of the host that was named are asked for.
 */
#include "ctl.h"

#include <string.h>

#include <apr_strings.h>
#include <apr_xml.h>
#include <zlib.h>

#define FILES_MAX 1000
#define URLS_MAX 1000000
#define URL_MAX 8192
#define BYTES_MAX (50u << 20) /* of a file, inflated: the protocol's own bound */

typedef struct sitemap_t {
    ctl_t *c;
    struct curl_slist *headers;
    const char *host, *port; /* of the one that was named */
    apr_array_header_t *urls;
    ctl_sitemap_t *sum;
} sitemap_t;

/* ---- hosts ------------------------------------------------------------------------ */

/* Host and port of a URL; 0 if it is none by http or https. */
static int split(const char *url, const char **host, const char **port, apr_pool_t *p)
{
    CURLU *u = curl_url();
    char *scheme = NULL, *h = NULL, *n = NULL;
    int ok = u && !curl_url_set(u, CURLUPART_URL, url, 0) &&
             !curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) &&
             !curl_url_get(u, CURLUPART_HOST, &h, 0) &&
             (!strcmp(scheme, "http") || !strcmp(scheme, "https"));

    if (ok) {
        *host = apr_pstrdup(p, h);
        *port = curl_url_get(u, CURLUPART_PORT, &n, 0) ? "" : apr_pstrdup(p, n);
    }
    curl_free(scheme);
    curl_free(h);
    curl_free(n);
    curl_url_cleanup(u);
    return ok;
}

/* Is it at the host that was named? By http or https, at the port that was named if one is. */
static int is_here(const sitemap_t *s, const char *url, apr_pool_t *p)
{
    const char *host, *port;

    return split(url, &host, &port, p) && !strcasecmp(host, s->host) &&
           !strcmp(port, s->port);
}

/* ---- one file ---------------------------------------------------------------------- */

/* Inflate what is gzipped; NULL, or what is wrong. */
static const char *inflate_body(ctl_answer_t *a, apr_pool_t *p)
{
    z_stream z;
    char *out;
    int rc;

    if (a->len < 2 || memcmp(a->body, "\x1f\x8b", 2)) {
        return NULL;
    }
    memset(&z, 0, sizeof z);
    if (inflateInit2(&z, 15 + 16) != Z_OK) { /* gzip */
        return "there is not enough memory";
    }
    out = apr_palloc(p, BYTES_MAX);
    z.next_in = (unsigned char *)a->body;
    z.avail_in = (unsigned)a->len;
    z.next_out = (unsigned char *)out;
    z.avail_out = BYTES_MAX;
    rc = inflate(&z, Z_FINISH);
    a->body = out;
    a->len = z.total_out;
    inflateEnd(&z);
    return rc == Z_STREAM_END ? NULL
           : z.avail_out == 0 ? "it is longer than 50 MB"
                              : "it is damaged";
}

/* The text of an element, without white space around it. */
static const char *text_of(const apr_xml_elem *e, apr_pool_t *p)
{
    const apr_text *t;
    char *text = apr_pstrdup(p, ""), *end;

    for (t = e->first_cdata.first; t; t = t->next) {
        text = apr_pstrcat(p, text, t->text, NULL);
    }
    text += strspn(text, " \t\r\n");
    for (end = text + strlen(text); end > text && strchr(" \t\r\n", end[-1]); end--) {
    }
    *end = '\0';
    return text;
}

static const char *location(const apr_xml_elem *e, apr_pool_t *p)
{
    const apr_xml_elem *child = e->first_child;

    while (child && strcmp(child->name, "loc")) {
        child = child->next;
    }
    return child ? text_of(child, p) : "";
}

/* Those of an element's children that are called so. */
static void take_locations(const sitemap_t *s, const apr_xml_elem *root, const char *name,
                           apr_array_header_t *to, int max, apr_pool_t *p)
{
    const apr_xml_elem *e;

    for (e = root->first_child; e; e = e->next) {
        const char *url = strcmp(e->name, name) ? "" : location(e, p);

        if (!*url) {
            continue;
        }
        if (strlen(url) > URL_MAX || !is_here(s, url, p)) {
            s->sum->elsewhere++;
        } else if (to->nelts >= max) {
            s->sum->too_many++;
        } else {
            APR_ARRAY_PUSH(to, const char *) = apr_pstrdup(to->pool, url);
        }
    }
}

/* NULL: it is none, *perror. */
static const apr_xml_elem *parse(const ctl_answer_t *a, const char **perror,
                                 apr_pool_t *p)
{
    apr_xml_parser *parser = apr_xml_parser_create(p);
    apr_xml_doc *doc = NULL;
    char why[200];

    if (apr_xml_parser_feed(parser, a->body, a->len) == APR_SUCCESS &&
        apr_xml_parser_done(parser, &doc) == APR_SUCCESS && doc && doc->root) {
        return doc->root;
    }
    *perror = apr_pstrcat(
        p, "it is no XML: ", apr_xml_parser_geterror(parser, why, sizeof why), NULL);
    return NULL;
}

/* What is wrong is said in the pool of @a own, which all else of the file is in as well.
 * @param files  of an index; NULL: it must be none */
static const char *read_file(sitemap_t *s, ctl_t *own, const char *url,
                             apr_array_header_t *files)
{
    apr_pool_t *p = own->pool;
    const apr_xml_elem *root;
    const char *error, *why;
    ctl_answer_t a;

    if ((error = ctl_ask(own, "GET", url, s->headers, &a))) {
        return error;
    }
    if (a.status != 200) {
        return apr_psprintf(p, "%s: status %ld", url, a.status);
    }
    s->sum->files++;
    if ((why = inflate_body(&a, p)) || !(root = parse(&a, &why, p))) {
        return apr_psprintf(p, "%s: %s", url, why);
    }
    if (!strcmp(root->name, "urlset")) {
        take_locations(s, root, "url", s->urls, URLS_MAX, p);
    } else if (!strcmp(root->name, "sitemapindex") && files) {
        take_locations(s, root, "sitemap", files, FILES_MAX, p);
    } else {
        return apr_psprintf(p, "%s is no sitemap%s: its root is <%s>", url,
                            files ? "" : " with URLs", root->name);
    }
    return NULL;
}

static const char *read_one(sitemap_t *s, const char *url, apr_array_header_t *files)
{
    ctl_t own = *s->c;
    const char *error;

    apr_pool_create(&own.pool, s->c->pool);
    error = read_file(s, &own, url, files);
    error = error ? apr_pstrdup(s->c->pool, error) : NULL;
    apr_pool_destroy(own.pool);
    return error;
}

const char *ctl_sitemap(ctl_t *c, const char *url, struct curl_slist *headers,
                        apr_array_header_t *urls, ctl_sitemap_t *sum)
{
    apr_array_header_t *files = apr_array_make(c->pool, 16, sizeof(const char *));
    sitemap_t s = {c, headers, NULL, NULL, urls, sum};
    const char *error;
    ctl_progress_t progress;
    int i;

    memset(sum, 0, sizeof(*sum));
    if (!split(url, &s.host, &s.port, c->pool)) {
        return apr_psprintf(c->pool, "'%s' is not a URL by http or https", url);
    }
    if ((error = read_one(&s, url, files)) || files->nelts == 0) {
        return error;
    }
    ctl_progress_begin(&progress, "sitemaps", (apr_uint64_t)files->nelts);
    for (i = 0; i < files->nelts && !error; i++) {
        error = read_one(&s, APR_ARRAY_IDX(files, i, const char *), NULL);
        ctl_progress_step(&progress, 1);
    }
    ctl_progress_end(&progress);
    return error;
}
