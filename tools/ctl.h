/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file ctl.h
 * What the files of devcachectl share.
 *
 * devcachectl.c  verbs, options, help
 * ctl_dir.c      ls, show and verify: a cache's directory
 * ctl_stats.c    stats, ready
 * ctl_top.c      top
 * ctl_explain.c  explain
 * ctl_purge.c    purge
 * ctl_nodes.c    nodes
 * ctl_warm.c     warm
 * ctl_sitemap.c  the URLs of sitemaps, for warm
 * ctl_classify.c  classify
 * ctl_migrate.c  migrate
 * ctl_out.c      how things are printed
 * ctl_http.c     requests, by libcurl
 */
#ifndef CTL_H
#define CTL_H

#include <stdio.h>
#include <apr_pools.h>
#include <apr_tables.h>
#include <curl/curl.h>
#include <jansson.h>
#include "../base/bytes.h"
#include "../store/inspect.h"
#include "../base/json.h"

/* Exit codes. */
#define CTL_OK 0
#define CTL_FAILED 1 /* damage was found, or something could not be done */
#define CTL_WRONG 2  /* the command line, or what it names, is not to be worked with */

/** The command line. */
typedef struct ctl_t {
    apr_pool_t *pool;
    const char *verb;
    int argc; /* arguments behind verb and options */
    char **argv;
    int json;
    const char *root;            /* NULL: not given */
    const char *url;             /* of the status page */
    const char *agent;           /* NULL: not given */
    apr_array_header_t *headers; /* const char *: "Name: value" */
    const char *address;         /* NULL: not given */
    struct curl_slist *connect;  /* where requests go, for libcurl; NULL: by their URL */
    int once, soft, refill, insecure;
    double interval;          /* top: seconds */
    double rate;              /* warm: requests a second */
    long concurrency;         /* warm: requests at once */
    const char *file;         /* warm: of URLs */
    const char *sitemap;      /* warm: a URL */
    apr_array_header_t *tags; /* purge: const char * */
    const char *prefix;       /* purge: a URL */
    const char *device;       /* purge: a class */
    double wait;              /* purge: seconds for the other machines; -1: not */
} ctl_t;

/* The verbs; each returns an exit code. */
int ctl_ls(ctl_t *c);
int ctl_show(ctl_t *c);
int ctl_verify(ctl_t *c);
int ctl_stats(ctl_t *c);
int ctl_ready(ctl_t *c);
int ctl_explain(ctl_t *c);
int ctl_top(ctl_t *c);
int ctl_warm(ctl_t *c);
int ctl_classify(ctl_t *c);
extern const char ctl_classify_help[];
int ctl_purge(ctl_t *c);
int ctl_migrate(ctl_t *c);
int ctl_nodes(ctl_t *c);

/* ---- ctl_out.c ------------------------------------------------------------------ */

/** Say what is wrong, with the verb's name before it. @return CTL_FAILED */
int ctl_fail(const ctl_t *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** The same for what the caller must change. @return CTL_WRONG */
int ctl_wrong(const ctl_t *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** A writer of JSON to standard output. */
void ctl_json_begin(devcache_json_t *j);

/** Print what a server has sent, on standard output, in ASCII. */
void ctl_print_json(const json_t *value);

/** Print bytes so that no terminal takes them for a command: \xNN for all but ASCII. */
void ctl_print(FILE *to, devcache_slice_t s);
void ctl_print_str(FILE *to, const char *s);

/* "1.5MB", "12m", "2026-11-23 03:12:11 UTC", in @a p. */
const char *ctl_bytes(apr_uint64_t bytes, apr_pool_t *p);
const char *ctl_duration(apr_int64_t seconds, apr_pool_t *p);
const char *ctl_instant(apr_time_t t, apr_pool_t *p);

/** A progress bar on a terminal, a line for each tenth otherwise; on standard error. */
typedef struct ctl_progress_t {
    const char *what;
    apr_uint64_t total;
    apr_uint64_t done;
    apr_time_t drawn; /* when the bar was drawn last */
    int tenth;        /* last one said */
    int bar;
} ctl_progress_t;

void ctl_progress_begin(ctl_progress_t *g, const char *what, apr_uint64_t total);
void ctl_progress_step(ctl_progress_t *g, apr_uint64_t done);
void ctl_progress_end(ctl_progress_t *g);

/** Clear the bar, so that a line can be printed; it is drawn again by the next step. */
void ctl_progress_hide(ctl_progress_t *g);

/* ---- ctl_http.c ----------------------------------------------------------------- */

typedef struct ctl_answer_t {
    long status; /* 0: there was no answer */
    apr_table_t *headers;
    char *body; /* NUL-terminated; at most CTL_BODY_MAX bytes are taken */
    apr_size_t len;
} ctl_answer_t;

#define CTL_BODY_MAX (16u << 20)

/** A handle for a request that goes to c->connect, if that is given, and to no proxy;
 * NULL: no memory. */
CURL *ctl_curl(ctl_t *c, const char *url);

/**
 * Make one request, at most thirty seconds long.
 * @return NULL and *out, or why there is no answer, in the pool
 */
const char *ctl_ask(ctl_t *c, const char *method, const char *url,
                    struct curl_slist *headers, ctl_answer_t *out);

/** What came of sitemaps besides URLs. */
typedef struct ctl_sitemap_t {
    unsigned files;     /* that were read */
    unsigned elsewhere; /* URLs and files of other hosts, passed over */
    unsigned too_many;  /* URLs and files beyond what is taken */
} ctl_sitemap_t;

/**
 * Read a sitemap, or an index of sitemaps and these, gzipped or not.
 * @param urls  const char *: those of the host of @a url are added, in its pool
 * @return NULL, or what is wrong
 */
const char *ctl_sitemap(ctl_t *c, const char *url, struct curl_slist *headers,
                        apr_array_header_t *urls, ctl_sitemap_t *sum);

/* What there is to say of another page: a format for its URL and status. */
#define CTL_NO_STATUS                                                                    \
    "%s is not a devcache-status page for you (status %ld): is there SetHandler "        \
    "devcache-status with a Require that lets you in? Another URL goes by --url or "     \
    "DEVCACHE_STATUS_URL"

/** GET the status page c->url, with @a query behind it. As ctl_ask(), but says what to
 * do.
 */
const char *ctl_ask_status(ctl_t *c, const char *query, ctl_answer_t *out);

/* ---- ctl_dir.c ------------------------------------------------------------------ */

/** Open the directory c->root, or say what is wrong. @return an exit code */
int ctl_open(ctl_t *c, devcache_inspect_t **pin);

/* ---- ctl_stats.c ---------------------------------------------------------------- */

/**
 * The numbers of the status page c->url, by name, as text.
 * @return NULL, or why there are none
 */
const char *ctl_numbers(ctl_t *c, apr_table_t *numbers);

/** The numbers of the index below c->root. @return an exit code */
int ctl_index_numbers(ctl_t *c, apr_table_t *numbers);

#endif
