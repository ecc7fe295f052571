/* SPDX-License-Identifier: Apache-2.0 */
#include "request/tags.h"

#include <apr_strings.h>
#include "purge/ban.h"
#include "http/field.h"
#include "request/compose.h"

static const devcache_tag_header_t defaults[] = {
    {"Cache-Tag"},      {"Cache-Tags"},     {"Surrogate-Key"},
    {"xkey"},           {"X-Cache-Tags"},   {"Purge-Cache-Tags"},
    {"X-Magento-Tags"}, {"X-Pool"},         {"X-Shopware-Cache-Id"},
    {"TYPO3-Pid"},      {"TYPO3-Sitename"}, {"X-Acquia-Purge-Tags"},
};
static const apr_array_header_t default_headers = {
    NULL, sizeof(devcache_tag_header_t), sizeof(defaults) / sizeof(*defaults),
    sizeof(defaults) / sizeof(*defaults), (char *)(apr_uintptr_t)defaults};

/* Meant for caches in front of the application, that is for us; read by nobody here. */
static const char surrogate_control[] = "Surrogate-Control";

static const apr_array_header_t *headers_of(const devcache_dir_t *dir)
{
    return devcache_dir_tag_headers(dir) ? devcache_dir_tag_headers(dir)
                                         : &default_headers;
}

static int has_tags(const devcache_tag_header_t *h)
{
    return ap_cstr_casecmp(h->name, surrogate_control) != 0;
}

const apr_array_header_t *devcache_tags_names(const devcache_dir_t *dir, apr_pool_t *p)
{
    const apr_array_header_t *headers = headers_of(dir);
    apr_array_header_t *names = apr_array_make(p, headers->nelts, sizeof(char *));
    int i;

    for (i = 0; i < headers->nelts; i++) {
        const devcache_tag_header_t *h = &APR_ARRAY_IDX(headers, i,
                                                        devcache_tag_header_t);

        if (has_tags(h)) {
            APR_ARRAY_PUSH(names, const char *) = h->name;
        }
    }
    return names;
}

/* What the names of a table's fields are like: for each first letter their lengths, modulo
 * 32, as bits. A response has few fields and the list of names is long: hardly one of them
 * need be looked for. */
typedef struct {
    unsigned length[32];
} names_t;

static void note_name(names_t *names, const char *name)
{
    names->length[name[0] & 31] |= 1u << (strlen(name) & 31);
}

static void note_names(names_t *names, const apr_table_t *t)
{
    const apr_array_header_t *all = apr_table_elts(t);
    int i;

    for (i = 0; i < all->nelts; i++) {
        note_name(names, APR_ARRAY_IDX(all, i, apr_table_entry_t).key);
    }
}

static int may_have(const names_t *names, const char *name)
{
    unsigned length = names->length[name[0] & 31];

    return length && (length >> (strlen(name) & 31) & 1);
}

/* Groups, of which one may be read as what mod_headers has made of the origin's. */
static void read_groups(devcache_tags_t *tags, devcache_slice_t key, const names_t *names,
                        const apr_table_t *fields, apr_pool_t *p)
{
    const char *groups = may_have(names, "Cache-Groups")
                             ? devcache_field_combined(fields, "Cache-Groups", p)
                             : NULL;

    if (groups) {
        devcache_ban_tags_groups(tags, key, groups, p);
    }
}

int devcache_tags_invalidated(devcache_slice_t key, const apr_table_t *fields,
                              devcache_slice_t *pban, const char **perror, apr_pool_t *p)
{
    const char *groups = devcache_field_combined(fields, "Cache-Group-Invalidation", p);
    devcache_ban_t ban = {{DEVCACHE_BAN_ANY}};
    devcache_tags_t tags;

    *perror = NULL;
    if (!groups) {
        return 0;
    }
    devcache_ban_tags_begin(&tags, p);
    devcache_ban_tags_groups(&tags, key, groups, p);
    ban.tags = devcache_ban_tags_end(&tags, p);
    *perror = tags.error;
    return ban.tags.data && !devcache_ban_encode(&ban, pban, p);
}

int devcache_tags_read(const devcache_dir_t *dir, devcache_slice_t key,
                       const apr_table_t *origin, const apr_table_t *fields,
                       devcache_slice_t *ptags, apr_pool_t *p)
{
    const apr_array_header_t *headers = headers_of(dir);
    names_t names = {{0}};
    devcache_tags_t tags;
    int i;

    note_names(&names, fields);
    if (origin) {
        note_names(&names, origin);
    }
    devcache_ban_tags_begin(&tags, p);
    for (i = 0; i < headers->nelts; i++) {
        const devcache_tag_header_t *h = &APR_ARRAY_IDX(headers, i,
                                                        devcache_tag_header_t);
        const char *sent, *made;

        if (!may_have(&names, h->name)) {
            continue;
        }
        sent = origin ? devcache_field_combined(origin, h->name, p) : NULL;
        made = devcache_field_combined(fields, h->name, p);
        if (sent && has_tags(h)) {
            devcache_ban_tags_list(&tags, sent);
        }
        if (made && has_tags(h) && (!sent || strcmp(sent, made))) {
            devcache_ban_tags_list(&tags, made);
        }
    }
    read_groups(&tags, key, &names, fields, p);
    *ptags = devcache_ban_tags_end(&tags, p);
    return !tags.error;
}

static void hide(request_rec *r, const names_t *names, const char *name)
{
    if (may_have(names, name)) {
        apr_table_unset(r->headers_out, name);
        apr_table_unset(r->err_headers_out, name);
    }
}

/* What reads its answer is us: compose.c. */
static int is_part(const devcache_exchange_t *x)
{
    return x->composed && x->composed->around;
}

/* Notes the names of fields but those that are known. */
static int note_others(names_t *names, const request_rec *r, const devcache_exchange_t *x)
{
    const devcache_kept_field_t *next = x->answer.known;
    const devcache_kept_field_t *last = next + x->answer.count_known;
    const apr_array_header_t *all = apr_table_elts(r->headers_out);
    const apr_table_entry_t *e = (const apr_table_entry_t *)all->elts;
    int others = 0, i;

    for (i = 0; i < all->nelts; i++) {
        if (next != last && next->name == e[i].key) {
            next++;
        } else {
            note_name(names, e[i].key);
            others = 1;
        }
    }
    return others;
}

enum { TAGS_NONE = 1, TAGS_SOME };

/* Is there something to hide among the kept fields, by the default list? */
static apr_uint32_t look_for_tags(devcache_kept_t *kept)
{
    apr_uint32_t known = TAGS_NONE;
    names_t names = {{0}};
    unsigned i;
    int n;

    for (n = 0; n < kept->count; n++) {
        note_name(&names, kept->field[n].name);
    }
    for (i = 0; i < sizeof(defaults) / sizeof(*defaults); i++) {
        known = may_have(&names, defaults[i].name) ? TAGS_SOME : known;
    }
    return may_have(&names, surrogate_control) ? TAGS_SOME : known;
}

static int has_nothing(devcache_kept_t *kept)
{
    apr_uint32_t known = __atomic_load_n(&kept->tags, __ATOMIC_RELAXED);

    if (!known) {
        known = look_for_tags(kept);
        __atomic_store_n(&kept->tags, known, __ATOMIC_RELAXED);
    }
    return known == TAGS_NONE;
}

/* @param none  there is none among the fields that are known */
static void hide_all(request_rec *r, const devcache_exchange_t *x,
                     const apr_array_header_t *headers, int none)
{
    names_t names = {{0}};
    int hide_control = 1, i;

    if (!none) {
        note_names(&names, r->headers_out);
    } else if (!note_others(&names, r, x) && apr_is_empty_table(r->err_headers_out)) {
        return;
    }
    note_names(&names, r->err_headers_out);
    for (i = 0; i < headers->nelts; i++) {
        const devcache_tag_header_t *h = &APR_ARRAY_IDX(headers, i,
                                                        devcache_tag_header_t);

        if (!h->shown) {
            hide(r, &names, h->name);
        } else if (!has_tags(h)) {
            hide_control = 0;
        }
    }
    if (hide_control && may_have(&names, surrogate_control) && !is_part(x)) {
        hide(r, &names, surrogate_control);
    }
}

void devcache_tags_hide(request_rec *r, const devcache_exchange_t *x, int known)
{
    const devcache_dir_t *dir = devcache_conf_dir(r);
    const apr_array_header_t *headers = headers_of(dir);
    devcache_kept_t *kept = x->answer.count_known ? x->found.stored.kept : NULL;
    int none = kept && headers == &default_headers && has_nothing(kept);

    if (devcache_dir_enabled(dir) && !(none && known)) {
        hide_all(r, x, headers, none);
    }
}
