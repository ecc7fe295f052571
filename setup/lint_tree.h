/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file setup/lint_tree.h
 * The configuration tree as a list, and where in the server each directive counts.
 *
 * Glue. httpd merges what holds for a request in this order: the server, <Directory>,
 * <Files>, <Location>, <If>; within one kind (of Locations at least) in the order of the
 * file, whatever the length of the paths. "Covers" and "overlaps" are answered for
 * Locations with a plain path and for whole servers. Of other sections (patterns, files,
 * conditions) only a request could tell; they cover nothing, and may overlap anything.
 * Ownership  Everything points into httpd's tree or into the pool given.
 */
#ifndef DEVCACHE_SETUP_LINT_TREE_H
#define DEVCACHE_SETUP_LINT_TREE_H

#include <httpd.h>
#include <http_config.h>
#include <util_cfgtree.h>

/* A directive and where it counts. */
typedef struct devcache_said_t {
    const ap_directive_t *d;
    const ap_directive_t *vhost; /* NULL: the main server */
    const char *path; /* of its Location, "/" outside of sections, NULL: not to be told */
    int whole;        /* it counts for all of path */
    int rank;  /* the place of its kind of section in the order of merging; 0: none */
    int order; /* among all directives */
} devcache_said_t;

/* What checks are given. */
typedef struct devcache_lint_t {
    server_rec *main_server;
    apr_array_header_t *all; /* of devcache_said_t, in the order of the files */
    int is_trial;            /* this is httpd -t */
    apr_pool_t *p;
} devcache_lint_t;

/** A check of one directive. @return a sentence for the administrator, or NULL */
typedef const char *devcache_lint_check_fn(const devcache_lint_t *l,
                                           const devcache_said_t *s);

/* For a loop through all directives. */
#define DEVCACHE_LINT_EACH(l, s)                                                         \
    const devcache_said_t *s = (const devcache_said_t *)(l)->all->elts;                  \
    s < (const devcache_said_t *)(l)->all->elts + (l)->all->nelts;                       \
    s++

/** All directives in the order of the files, sections included: of devcache_said_t. */
apr_array_header_t *devcache_lint_list(const ap_directive_t *tree, apr_pool_t *p);

/** Is it this directive? */
int devcache_lint_is(const devcache_said_t *s, const char *name);

/** Its n-th argument without quotes, "" if there are fewer. */
const char *devcache_lint_arg(const devcache_lint_t *l, const devcache_said_t *s, int n);

/** "name args (file:line)". */
const char *devcache_lint_name(const devcache_lint_t *l, const devcache_said_t *s);

/** Does @a a hold wherever @a b does? */
int devcache_lint_covers(const devcache_said_t *a, const devcache_said_t *b);

/** May both hold for one request? */
int devcache_lint_overlaps(const devcache_said_t *a, const devcache_said_t *b);

/** Where both hold: is @a a merged after @a b? */
int devcache_lint_is_later(const devcache_said_t *a, const devcache_said_t *b);

/** The directive of that name that counts at @a place: the last that covers it, or NULL.
 */
const devcache_said_t *devcache_lint_in_force(const devcache_lint_t *l, const char *name,
                                              const devcache_said_t *place);

/** Is @a path at or below @a base, as a Location understands it? */
int devcache_lint_is_below(const char *path, const char *base);

/** Does @a path begin so, as ProxyPass and CacheEnable understand it? */
int devcache_lint_is_prefix(const char *of, const char *path);

/** Does it stand in a section other than <VirtualHost>? */
int devcache_lint_has_section(const devcache_said_t *s);

/** The server whose directive it is. */
server_rec *devcache_lint_server_of(const devcache_lint_t *l, const devcache_said_t *s);

/** Is @a word, in any case, in the list that NULL ends? */
int devcache_lint_is_one_of(const char *word, const char *const *words);

/** Does a request field of that name differ from visitor to visitor? */
int devcache_lint_is_of_one_visitor(const char *field);

/** Is it a DevCache directive that is not Off? */
int devcache_lint_is_on(const devcache_lint_t *l, const devcache_said_t *s);

/** A `DevCache On` that holds at @a place or for a part of it; NULL: none. */
const devcache_said_t *devcache_lint_cached_at(const devcache_lint_t *l,
                                               const devcache_said_t *place);

/** A `DevCache On` for all of whose URLs @a s holds; NULL: none. */
const devcache_said_t *devcache_lint_on_within(const devcache_lint_t *l,
                                               const devcache_said_t *s);

#endif
