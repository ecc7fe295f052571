/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a purge of many costs: build/bench-purge DIRECTORY [OBJECTS]
 *
 * Stores OBJECTS pages of 4 KB, each with ten tags of which one is common to all, and
 * purges: a tag that nobody has, softly the tag that all have, and one by one the halves
 * of all by prefix. Times are of the calls alone, records in the page cache. DIRECTORY
 * has to be empty and the caller's own; what is made there is deleted.
 */
#include <apr_general.h>
#include <apr_strings.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "purge/ban.h"
#include "devcache_vary.h"
#include "scratch.h"

#define BODY 4096

static const char *root;

static devcache_store_t *open_store(unsigned objects, apr_pool_t *p)
{
    devcache_store_conf_t conf = {root};

    conf.size = (apr_uint64_t)objects * (BODY + 1024) * 3 / 2 + (64u << 20);
    conf.max_objects = objects * 5 / 4 + 1000;
    conf.ban_open = devcache_ban_open;
    conf.ban_matches = devcache_ban_matches;
    return scratch_open(&conf, p);
}

static devcache_slice_t tags_of(const char *list, apr_pool_t *p)
{
    devcache_tags_t tags;

    devcache_ban_tags_begin(&tags, p);
    devcache_ban_tags_list(&tags, list);
    return devcache_ban_tags_end(&tags, p);
}

static int publish(devcache_store_t *s, unsigned i, apr_pool_t *p)
{
    static char body[BODY], meta[400];
    const char *path = apr_psprintf(p, "/%s/page-%u", i % 2 ? "odd" : "even", i);
    devcache_slice_t key = devcache_vary_key("https", "www.example.org", 443, path, NULL,
                                             p);
    devcache_fill_t *f = devcache_store_fill_begin(s, key, p);
    devcache_publish_t what = {""};

    what.meta = devcache_slice(meta, sizeof(meta));
    what.tags = tags_of(apr_psprintf(p, "all page-%u a%u b%u c%u d%u e%u f%u g%u h%u", i,
                                     i % 10, i % 20, i % 30, i % 40, i % 50, i % 60,
                                     i % 70, i % 80),
                        p);
    what.requested_at = what.stored_at = apr_time_from_sec(1);
    what.fresh_until = apr_time_from_sec(1000000000);
    what.max_variants = 1;
    return devcache_store_fill_write(f, body, sizeof(body), sizeof(body)) ==
               APR_SUCCESS &&
           devcache_store_fill_publish(f, &what) == APR_SUCCESS;
}

static void purge(devcache_store_t *s, const char *name, const devcache_ban_t *ban,
                  int soft, apr_pool_t *p)
{
    devcache_purge_t purge = {{NULL, 0}};
    apr_uint64_t count = 0;
    apr_status_t rv;
    double before;

    devcache_ban_encode(ban, &purge.what, p);
    purge.now = apr_time_from_sec(2);
    purge.soft = soft;
    before = scratch_seconds();
    rv = devcache_store_purge(s, &purge, &count);
    printf("%-34s %9lu objects %8.1f ms%s\n", name, (unsigned long)count,
           (scratch_seconds() - before) * 1e3, rv == APR_SUCCESS ? "" : "  FAILED");
}

int main(int argc, char **argv)
{
    unsigned objects = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 100000;
    devcache_ban_t ban = {{DEVCACHE_BAN_ANY}};
    unsigned i, stored = 0;
    devcache_store_t *s;
    apr_pool_t *p, *one;

    if (argc < 2) {
        fprintf(stderr, "usage: %s DIRECTORY [OBJECTS]\n", argv[0]);
        return 2;
    }
    root = argv[1];
    apr_initialize();
    apr_pool_create(&p, NULL);
    apr_pool_create(&one, p);
    s = open_store(objects, p);
    for (i = 0; i < objects; i++) {
        stored += (unsigned)publish(s, i, one);
        apr_pool_clear(one);
    }
    printf("%u objects of %u bytes stored\n", stored, BODY);
    ban.tags = tags_of("nobody-has-this", p);
    purge(s, "a tag that nothing has", &ban, 0, p);
    ban.tags = tags_of("all", p);
    purge(s, "a tag that all have, softly", &ban, 1, p);
    ban.tags = devcache_slice(NULL, 0);
    ban.url.how = DEVCACHE_BAN_REGEX;
    ban.url.text = "^/nothing/.*[0-9]$";
    purge(s, "a regular expression for nothing", &ban, 0, p);
    ban.url.how = DEVCACHE_BAN_PREFIX;
    ban.url.text = "/odd/";
    purge(s, "a prefix that half of them have", &ban, 0, p);
    ban.url.how = DEVCACHE_BAN_ANY;
    ban.tags = tags_of("all", p);
    purge(s, "the tag that the others have", &ban, 0, p);
    apr_pool_destroy(p);
    scratch_clear(root);
    return 0;
}
