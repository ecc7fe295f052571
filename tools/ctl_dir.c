/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ls, show and verify: what lies in a cache's directory.
 */
#include "ctl.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <apr_strings.h>
#include <apr_uri.h>
#include "../base/clock.h"
#include "../http/field.h"
#include "../http/response.h"
#include "../devcache_vary.h"

/* A found object, decoded. */
typedef struct object_t {
    const char *url;
    int decoded; /* the next two are set */
    devcache_response_t resp;
    devcache_vary_said_t said;
    apr_int64_t age, ttl; /* seconds */
} object_t;

/* What a verb does with the objects of a directory. */
typedef struct listing_t {
    ctl_t *c;
    devcache_inspect_t *in;
    apr_time_t now;
    devcache_json_t json;
    const char *wanted;   /* ls: a prefix or a host; NULL: all */
    devcache_slice_t key; /* show */
    const char *url;      /* show: as ls would print it */
    unsigned shown;
    apr_pool_t *p; /* cleared after each object */
} listing_t;

static apr_int64_t seconds(apr_interval_time_t t)
{
    return (t < 0 ? t - APR_USEC_PER_SEC + 1 : t) / APR_USEC_PER_SEC;
}

static void decode(const listing_t *l, const devcache_found_t *found, object_t *o)
{
    memset(o, 0, sizeof(*o));
    o->url = devcache_vary_key_url(found->rec.key, l->p);
    o->decoded = devcache_response_decode(found->rec.meta, &o->resp, l->p) ==
                     APR_SUCCESS &&
                 devcache_vary_read(found->rec.variant, &o->said, l->p);
    if (o->decoded) {
        apr_interval_time_t age = devcache_policy_age(&o->resp.fresh, l->now);

        o->age = seconds(age);
        o->ttl = seconds(o->resp.fresh.lifetime - age);
    }
}

int ctl_open(ctl_t *c, devcache_inspect_t **pin)
{
    const char *error;
    apr_status_t rv = devcache_inspect_open(pin, c->root, &error, c->pool);

    return rv == APR_SUCCESS
               ? CTL_OK
               : ctl_wrong(c, "%s%s", error,
                           APR_STATUS_IS_EACCES(rv) ? "; be its owner, or root"
                           : APR_STATUS_IS_ENOENT(rv)
                               ? "; DevCacheRoot goes by --root or "
                                 "DEVCACHE_ROOT"
                               : "");
}

/* Open the directory that the command line names, and tell if its index is of no use.
 * @return an exit code; CTL_OK: *pin is set */
static int open_root(ctl_t *c, devcache_inspect_t **pin)
{
    const char *partly;
    int rv;

    if ((rv = ctl_open(c, pin)) != CTL_OK) {
        return rv;
    }
    partly = devcache_inspect_no_index(*pin);
    if (partly) {
        fprintf(stderr,
                "devcachectl %s: %s, so what has been replaced or removed is not told "
                "from what is in use\n",
                c->verb, partly);
    }
    return CTL_OK;
}

/* Go through all segments. */
static void each_segment(listing_t *l, int bodies, devcache_found_fn *fn, void *baton,
                         ctl_progress_t *progress)
{
    apr_array_header_t *files;
    int i;

    devcache_inspect_files(l->in, &files, l->c->pool);
    for (i = 0; i < files->nelts; i++) {
        const devcache_inspect_file_t *f = &APR_ARRAY_IDX(files, i,
                                                          devcache_inspect_file_t);
        if (f->kind != DEVCACHE_FILE_SEGMENT) {
            continue;
        }
        if (devcache_inspect_segment(l->in, f->serial, bodies, fn, baton)) {
            return;
        }
        if (progress) {
            ctl_progress_step(progress, f->len);
        }
    }
}

/* ---- ls --------------------------------------------------------------------------- */

static void put_object(listing_t *l, const devcache_found_t *found, const object_t *o)
{
    devcache_json_t *j = &l->json;

    devcache_json_string(j, "url", o->url);
    if (o->decoded && o->said.device) {
        devcache_json_string(j, "class", o->said.device);
    } else {
        devcache_json_null(j, "class");
    }
    if (o->decoded) {
        devcache_json_int(j, "status", o->resp.status);
        devcache_json_int(j, "age", o->age);
        devcache_json_int(j, "ttl", o->ttl);
    }
    devcache_json_uint(j, "size", found->rec.body_len);
    if (found->live < 0) {
        devcache_json_null(j, "live");
    } else {
        devcache_json_uint(j, "used", found->use);
        devcache_json_bool(j, "live", 1);
    }
}

/* The index counts no further. */
static const char *used(const devcache_found_t *found)
{
    static const char *const words[] = {"not lately", "once lately", "twice lately",
                                        "three times or more lately"};

    return found->live < 0 ? "not known" : words[found->use < 3 ? found->use : 3];
}

static void print_object(listing_t *l, const devcache_found_t *found, const object_t *o)
{
    const char *class = o->decoded && o->said.device ? o->said.device : "-";
    const char *status = o->decoded ? apr_itoa(l->p, o->resp.status) : "-";

    printf("%-7s %6s %8s %7s %7s  %s\n", class, status,
           ctl_bytes(found->rec.body_len, l->p),
           o->decoded ? ctl_duration(o->age, l->p) : "-",
           o->decoded ? ctl_duration(o->ttl, l->p) : "-", o->url);
}

/* A prefix of the URL; or without a scheme HOST, HOST:PORT, HOST/PATH, and any port if it
 * names none. */
static int is_wanted(const char *url, const char *wanted)
{
    const char *at = strstr(url, "://");
    size_t host = strcspn(wanted, "/");

    if (strstr(wanted, "://") || !at) {
        return !strncmp(url, wanted, strlen(wanted));
    }
    at += 3;
    if (strncasecmp(at, wanted, host)) {
        return 0;
    }
    at += host;
    at += *at == ':' ? strcspn(at, "/") : 0;
    return (!*at || *at == '/') && !strncmp(at, wanted + host, strlen(wanted + host));
}

static int list_one(void *baton, const devcache_found_t *found)
{
    listing_t *l = baton;
    object_t o;

    if (found->what != DEVCACHE_FINDING_OBJECT || found->live == 0) {
        return 0;
    }
    apr_pool_clear(l->p);
    decode(l, found, &o);
    if (l->wanted && !is_wanted(o.url, l->wanted)) {
        return 0;
    }
    l->shown++;
    if (l->c->json) {
        devcache_json_object(&l->json, NULL);
        put_object(l, found, &o);
        devcache_json_end(&l->json);
    } else {
        print_object(l, found, &o);
    }
    return ferror(stdout);
}

static int listing_begin(listing_t *l, ctl_t *c)
{
    memset(l, 0, sizeof(*l));
    l->c = c;
    l->now = devcache_now();
    apr_pool_create(&l->p, c->pool);
    ctl_json_begin(&l->json);
    return open_root(c, &l->in);
}

int ctl_ls(ctl_t *c)
{
    listing_t l;
    int rv = listing_begin(&l, c);

    if (rv != CTL_OK) {
        return rv;
    }
    l.wanted = c->argc ? c->argv[0] : NULL;
    if (c->json) {
        devcache_json_array(&l.json, NULL);
    } else {
        printf("%-7s %6s %8s %7s %7s  %s\n", "class", "status", "size", "age", "ttl",
               "url");
    }
    each_segment(&l, 0, list_one, &l, NULL);
    if (c->json) {
        devcache_json_end(&l.json);
    }
    return CTL_OK;
}

/* ---- show ------------------------------------------------------------------------- */

/* The key that the server makes of a URL, if its Location keeps the query as it is. */
static int key_of(const char *url, devcache_slice_t *pkey, apr_pool_t *p)
{
    apr_uri_t uri;
    char *path;
    apr_size_t from, to;

    if (apr_uri_parse(p, url, &uri) != APR_SUCCESS || !uri.scheme || !uri.hostname) {
        return 0;
    }
    path = apr_pstrdup(p, uri.path ? uri.path : "/");
    for (from = to = 0; path[from]; to++) {
        char hex[3] = {path[from + 1], path[from + 1] ? path[from + 2] : '\0', '\0'};
        char *end = hex;
        long byte = path[from] == '%' ? strtol(hex, &end, 16) : 0;

        path[to] = end == hex + 2 && byte ? (char)byte : path[from];
        from += end == hex + 2 && byte ? 3 : 1;
    }
    path[to] = '\0';
    *pkey = devcache_vary_key(uri.scheme, uri.hostname,
                              uri.port ? uri.port : apr_uri_port_of_scheme(uri.scheme),
                              path, uri.query, p);
    return 1;
}

static const char *flag_words(const devcache_response_t *resp, apr_pool_t *p)
{
    unsigned flags = resp->fresh.flags;

    return apr_pstrcat(
        p, devcache_policy_never_stale(&resp->fresh) ? ", never served stale" : "",
        flags & DEVCACHE_NO_CACHE ? ", validated at each use" : "",
        flags & DEVCACHE_HEURISTIC ? ", by a guess from Last-Modified" : "",
        flags & DEVCACHE_IMMUTABLE ? ", immutable" : "", NULL);
}

static void put_table(devcache_json_t *j, const char *name, const apr_table_t *table,
                      int careful)
{
    const apr_array_header_t *all = apr_table_elts(table);
    int i;

    devcache_json_array(j, name);
    for (i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *e = &APR_ARRAY_IDX(all, i, apr_table_entry_t);

        devcache_json_object(j, NULL);
        devcache_json_string(j, "name", e->key);
        devcache_json_string(
            j, "value", careful && devcache_field_is_secret(e->key) ? "present" : e->val);
        devcache_json_end(j);
    }
    devcache_json_end(j);
}

/* The kind of file that the body is in, if it is not with its record. */
static devcache_file_kind_t body_kind(const devcache_found_t *found)
{
    return found->rec.ref_head ? DEVCACHE_FILE_SEGMENT : DEVCACHE_FILE_BODY;
}

static void put_details(listing_t *l, const devcache_found_t *found, const object_t *o)
{
    devcache_json_t *j = &l->json;
    char name[DEVCACHE_INSPECT_NAME];

    devcache_json_object(j, NULL);
    put_object(l, found, o);
    devcache_inspect_file_name(name, DEVCACHE_FILE_SEGMENT, found->serial);
    devcache_json_string(j, "file", name);
    devcache_json_uint(j, "offset", found->offset);
    if (found->rec.ref_serial) {
        devcache_inspect_file_name(name, body_kind(found), found->rec.ref_serial);
        devcache_json_string(j, "body_file", name);
    }
    if (o->decoded) {
        devcache_json_int(j, "stored_at", apr_time_sec(found->rec.stored_at));
        devcache_json_int(j, "fresh_until", apr_time_sec(l->now) + o->ttl);
        devcache_json_string(j, "varies_by", o->said.spec);
        put_table(j, "variant", o->said.values, 1);
        devcache_json_string(j, "target", o->said.target);
        devcache_json_string(j, "reason_phrase", o->resp.reason ? o->resp.reason : "");
        devcache_json_string(j, "content_type",
                             o->resp.content_type ? o->resp.content_type : "");
        devcache_json_bool(j, "never_stale", devcache_policy_never_stale(&o->resp.fresh));
        devcache_json_bool(j, "always_validated",
                           (o->resp.fresh.flags & DEVCACHE_NO_CACHE) != 0);
        devcache_json_bool(j, "heuristic",
                           (o->resp.fresh.flags & DEVCACHE_HEURISTIC) != 0);
        devcache_json_int(j, "stale_while_revalidate",
                          seconds(o->resp.fresh.stale_while_revalidate));
        devcache_json_int(j, "stale_if_error", seconds(o->resp.fresh.stale_if_error));
        put_table(j, "headers", o->resp.lines, 0);
    }
    devcache_json_end(j);
}

static void print_table(const char *indent, const apr_table_t *table, int careful)
{
    const apr_array_header_t *all = apr_table_elts(table);
    int i;

    for (i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *e = &APR_ARRAY_IDX(all, i, apr_table_entry_t);

        fputs(indent, stdout);
        ctl_print_str(stdout, e->key);
        fputs(": ", stdout);
        ctl_print_str(stdout,
                      careful && devcache_field_is_secret(e->key) ? "(present)" : e->val);
        fputc('\n', stdout);
    }
}

static void print_line(const char *name, const char *value)
{
    printf("  %-9s ", name);
    ctl_print_str(stdout, value);
    fputc('\n', stdout);
}

static void print_times(listing_t *l, const devcache_found_t *found, const object_t *o)
{
    const devcache_freshness_t *f = &o->resp.fresh;
    apr_time_t until = l->now + apr_time_from_sec(o->ttl);

    print_line("stored", ctl_instant(found->rec.stored_at, l->p));
    print_line("age", ctl_duration(o->age, l->p));
    print_line("fresh",
               apr_psprintf(l->p, "%s%s (%s)%s", o->ttl > 0 ? "until " : "no, since ",
                            ctl_instant(until, l->p), ctl_duration(o->ttl, l->p),
                            flag_words(&o->resp, l->p)));
    print_line("stale",
               apr_psprintf(l->p, "for %s while it is refreshed, for %s on errors",
                            ctl_duration(seconds(f->stale_while_revalidate), l->p),
                            ctl_duration(seconds(f->stale_if_error), l->p)));
}

static void print_details(listing_t *l, const devcache_found_t *found, const object_t *o)
{
    char name[DEVCACHE_INSPECT_NAME];

    printf("%s%s\n", l->shown > 1 ? "\n" : "", o->url);
    if (!o->decoded) {
        print_line("status", "its fields are of another version of the module");
        return;
    }
    print_line("class", o->said.device ? o->said.device : "all of them");
    print_line("varies by", *o->said.spec ? o->said.spec : "nothing");
    print_table("              ", o->said.values, 1);
    print_line("target", o->said.target);
    print_line("status",
               apr_psprintf(l->p, o->resp.reason && *o->resp.reason ? "%d %s" : "%d",
                            o->resp.status, o->resp.reason));
    print_times(l, found, o);
    devcache_inspect_file_name(name, DEVCACHE_FILE_SEGMENT, found->serial);
    print_line("size", apr_psprintf(l->p, "%" APR_UINT64_T_FMT " bytes, in %s",
                                    found->rec.body_len, name));
    if (found->rec.ref_serial) {
        devcache_inspect_file_name(name, body_kind(found), found->rec.ref_serial);
        print_line("", apr_psprintf(l->p, "and %s", name));
    }
    print_line("used", used(found));
    printf("  headers\n");
    if (o->resp.content_type && !apr_table_get(o->resp.lines, "Content-Type")) {
        printf("    Content-Type: ");
        ctl_print_str(stdout, o->resp.content_type);
        fputc('\n', stdout);
    }
    print_table("    ", o->resp.lines, 0);
}

static int show_one(void *baton, const devcache_found_t *found)
{
    listing_t *l = baton;
    object_t o;

    if (found->what != DEVCACHE_FINDING_OBJECT || found->live == 0) {
        return 0;
    }
    apr_pool_clear(l->p);
    decode(l, found, &o);
    if (!devcache_slice_eq(found->rec.key, l->key) && strcmp(o.url, l->url)) {
        return 0;
    }
    l->shown++;
    if (l->c->json) {
        put_details(l, found, &o);
    } else {
        print_details(l, found, &o);
    }
    return ferror(stdout);
}

int ctl_show(ctl_t *c)
{
    listing_t l;
    devcache_slice_t key;
    int rv;

    if (!key_of(c->argv[0], &key, c->pool)) {
        return ctl_wrong(c, "'%s' is not a URL such as http://www.example.org/page",
                         c->argv[0]);
    }
    if ((rv = listing_begin(&l, c)) != CTL_OK) {
        return rv;
    }
    l.key = key;
    l.url = devcache_vary_key_url(key, c->pool);
    if (c->json) {
        devcache_json_array(&l.json, NULL);
    }
    devcache_inspect_key(l.in, key, show_one, &l);
    if (!l.shown) { /* no index, or a URL as ls prints it with bytes that it escapes */
        each_segment(&l, 0, show_one, &l, NULL);
    }
    if (c->json) {
        devcache_json_end(&l.json);
    }
    return l.shown ? CTL_OK : ctl_fail(c, "nothing is stored for %s", l.url);
}

/* ---- verify ----------------------------------------------------------------------- */

typedef struct verify_t {
    listing_t l;
    ctl_progress_t progress;
    apr_uint64_t objects, live, unfinished, damaged, bytes;
} verify_t;

static void say_damage(verify_t *v, const devcache_found_t *found)
{
    const char *url = found->rec.key.data ? devcache_vary_key_url(found->rec.key, v->l.p)
                                          : NULL;
    char name[DEVCACHE_INSPECT_NAME];

    devcache_inspect_file_name(name, DEVCACHE_FILE_SEGMENT, found->serial);
    if (v->l.c->json) {
        devcache_json_t *j = &v->l.json;

        devcache_json_object(j, NULL);
        devcache_json_string(j, "file", name);
        devcache_json_uint(j, "offset", found->offset);
        devcache_json_uint(j, "length", found->len);
        devcache_json_string(j, "why", found->why);
        devcache_json_bool(j, "live", found->live > 0);
        if (url) {
            devcache_json_string(j, "url", url);
        }
        devcache_json_end(j);
        return;
    }
    ctl_progress_hide(&v->progress);
    printf("%s: damaged at %" APR_UINT64_T_FMT ", %" APR_UINT64_T_FMT
           " bytes%s: %s%s%s\n",
           name, found->offset, found->len, found->live > 0 ? ", in use" : "", found->why,
           url ? ": " : "", url ? url : "");
    fflush(stdout);
}

static int verify_one(void *baton, const devcache_found_t *found)
{
    verify_t *v = baton;

    apr_pool_clear(v->l.p);
    switch (found->what) {
    case DEVCACHE_FINDING_OBJECT:
        v->objects++;
        v->live += found->live > 0;
        break;
    case DEVCACHE_FINDING_UNFINISHED:
        v->unfinished++;
        break;
    default:
        v->damaged++;
        say_damage(v, found);
    }
    return 0;
}

static unsigned count_files(verify_t *v)
{
    apr_array_header_t *files;
    unsigned segments = 0;
    int i;

    devcache_inspect_files(v->l.in, &files, v->l.c->pool);
    for (i = 0; i < files->nelts; i++) {
        const devcache_inspect_file_t *f = &APR_ARRAY_IDX(files, i,
                                                          devcache_inspect_file_t);
        if (f->kind == DEVCACHE_FILE_SEGMENT) {
            v->bytes += f->len;
            segments++;
        }
    }
    return segments;
}

static void put_sums(verify_t *v, unsigned segments)
{
    devcache_json_t *j = &v->l.json;

    devcache_json_uint(j, "segments", segments);
    devcache_json_uint(j, "bytes", v->bytes);
    devcache_json_uint(j, "objects", v->objects);
    if (devcache_inspect_no_index(v->l.in)) {
        devcache_json_null(j, "live");
    } else {
        devcache_json_uint(j, "live", v->live);
    }
    devcache_json_uint(j, "unfinished", v->unfinished);
    devcache_json_uint(j, "damaged", v->damaged);
}

static void print_sums(verify_t *v, unsigned segments)
{
    const char *bytes = ctl_bytes(v->bytes, v->l.c->pool);

    printf("%u segments, %s: %" APR_UINT64_T_FMT " objects", segments, bytes, v->objects);
    if (!devcache_inspect_no_index(v->l.in)) {
        printf(" (%" APR_UINT64_T_FMT " in use)", v->live);
    }
    printf(", %" APR_UINT64_T_FMT " writes not finished, %" APR_UINT64_T_FMT " damaged\n",
           v->unfinished, v->damaged);
}

int ctl_verify(ctl_t *c)
{
    verify_t v = {{0}};
    unsigned segments;
    int rv = listing_begin(&v.l, c);

    if (rv != CTL_OK) {
        return rv;
    }
    segments = count_files(&v);
    if (c->json) {
        devcache_json_object(&v.l.json, NULL);
        devcache_json_array(&v.l.json, "damage");
    }
    ctl_progress_begin(&v.progress, "verify", v.bytes);
    each_segment(&v.l, 1, verify_one, &v, &v.progress);
    ctl_progress_end(&v.progress);
    if (c->json) {
        devcache_json_end(&v.l.json);
        put_sums(&v, segments);
        devcache_json_end(&v.l.json);
    } else {
        print_sums(&v, segments);
    }
    return v.damaged ? CTL_FAILED : CTL_OK;
}
