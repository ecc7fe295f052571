/* SPDX-License-Identifier: Apache-2.0 */
/*
 * devcachectl migrate: what replaces the lines of a mod_cache configuration, or of the
 * recipe by SetEnvIf, RequestHeader and Vary that people use for devices.
 *
 * One row of the table below for each directive that means something here. A row's
 * function notes lines to write, or says why a directive goes, or that somebody has to
 * look at it. The file is read twice, as a line may belong to a recipe that only a later
 * one shows; what the first reading notes is forgotten, but for the names in the tables.
 * Nothing is written anywhere: a configuration is its author's. What is printed is in the
 * order of the file, by virtual host and section.
 */
#include "ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <apr_lib.h>
#include <apr_strings.h>

#define LINE_MAX_BYTES 65536

/* A line to write, or a sentence about one that is there. */
typedef struct note_t {
    const char *host;    /* the <VirtualHost ...> around it; "": none */
    const char *section; /* "" or what follows "<": Location "/" */
    const char *text;
    const char *from; /* "12: CacheEnable disk /" */
} note_t;

typedef struct migrate_t {
    ctl_t *c;
    apr_array_header_t *lines; /* of note_t: to write */
    apr_array_header_t *gone;  /* of note_t: not needed any more, and why */
    apr_array_header_t *open;  /* of note_t: to be looked at */
    apr_table_t *classes;      /* variables that the User-Agent decides about */
    apr_table_t *fields;       /* request fields that are set from those */
    apr_array_header_t
        *conds; /* of char *: RewriteCond about the User-Agent, for one rule */
    apr_array_header_t
        *inside; /* of char *: the sections around, without <VirtualHost> */
    const char *host, *section; /* section: the innermost of them, or "" */
    const char *from;
    int has_root;
} migrate_t;

static void note(migrate_t *m, apr_array_header_t *to, const char *section,
                 const char *text)
{
    note_t *n = apr_array_push(to);

    n->host = m->host;
    n->section = section;
    n->text = text;
    n->from = m->from;
}

/* Whether the line to write has to be put by hand, as it stands in a section of a section. */
static int is_nested(const migrate_t *m, const char *section)
{
    return m->inside->nelts > 1 && section == m->section;
}

static void to_write(migrate_t *m, const char *section, const char *text)
{
    if (is_nested(m, section)) {
        note(m, m->open, "",
             apr_pstrcat(m->c->pool, "write in its place, in these sections: ", text,
                         NULL));
    } else {
        note(m, m->lines, section, text);
    }
}

static void write_line(migrate_t *m, const char *section, const char *name,
                       const char *value)
{
    to_write(m, section, apr_pstrcat(m->c->pool, name, " ", value, NULL));
}

static int is_on(const char *value)
{
    return value && !strcasecmp(value, "on");
}

/* ---- the rows ------------------------------------------------------------------- */

typedef void row_fn(migrate_t *m, char **args, const char *data);

/* The same value under another name. */
static void rename_local(migrate_t *m, char **args, const char *data)
{
    write_line(m, m->section, data, args[0] ? args[0] : "");
}

static void drop(migrate_t *m, char **args, const char *data)
{
    note(m, m->gone, "", data);
}

static void look(migrate_t *m, char **args, const char *data)
{
    note(m, m->open, "", data);
}

/* CacheEnable type [url], CacheDisable url|on. */
static void enable(migrate_t *m, char **args, const char *data)
{
    int on = !strcmp(data, "On");
    const char *url = on ? (args[0] ? args[1] : NULL) : args[0];

    if (url && *url != '/' && strcasecmp(url, "on")) {
        note(m, m->open, "",
             "only paths can be translated: put DevCache into the virtual host of that "
             "name");
        return;
    }
    write_line(m,
               url && *url == '/' && url[1]
                   ? apr_pstrcat(m->c->pool, "Location \"", url, "\"", NULL)
                   : m->section,
               "DevCache", data);
}

static void root(migrate_t *m, char **args, const char *data)
{
    m->has_root = 1;
    write_line(m, "", "DevCacheRoot", "/var/cache/apache2/devcache");
    note(m, m->gone, "",
         "another directory, of the server's user and mode 0700: the old one is of no "
         "use; "
         "htcacheclean has nothing to do any more, DevCacheSize is the bound");
}

static void if_on(migrate_t *m, char **args, const char *data)
{
    if (is_on(args[0])) {
        to_write(m, m->section, data);
    } else {
        drop(m, args, "off is the default here as well");
    }
}

static void factor(migrate_t *m, char **args, const char *data)
{
    double n = args[0] ? strtod(args[0], NULL) : 0;

    write_line(m, m->section, "DevCacheHeuristic",
               n > 0 && n <= 1 ? apr_psprintf(m->c->pool, "%.0f", n * 100) : "off");
}

static void query_names(migrate_t *m, char **args, const char *data)
{
    const char *names = "deny";

    for (; *args; args++) {
        names = apr_pstrcat(m->c->pool, names, " ", *args, NULL);
    }
    write_line(m, m->section, "DevCacheQuery", names);
}

static void hide_fields(migrate_t *m, char **args, const char *data)
{
    for (; *args; args++) {
        if (!strcasecmp(*args, "Set-Cookie")) {
            note(
                m, m->gone, "",
                "a response that sets a cookie is not stored; let the application set it "
                "only where it is needed");
        } else if (strcasecmp(*args, "none")) {
            note(m, m->open, "",
                 "fields cannot be left out of what is stored: take them away with "
                 "Header unset at the origin");
        }
    }
}

static const char *const classifies_itself = "the module classifies by itself; a rule of "
                                             "your own is DevCacheDeviceRule class regex";

/* mod_cache stores nothing where this variable is set. */
static int is_no_cache(const char *name)
{
    return !strcasecmp(name, "no-cache");
}

/* The line that sets the variable is still needed. */
static void bypass_no_cache(migrate_t *m)
{
    const char *from = m->from;

    m->from = apr_pstrcat(m->c->pool, from, " (stays)", NULL);
    to_write(m, m->section, "DevCacheBypass \"reqenv('no-cache') != ''\"");
    m->from = from;
}

/* A variable by which httpd itself treats old browsers otherwise. */
static int is_of_httpd(const char *name)
{
    static const char *const names[] = {"nokeepalive",
                                        "downgrade-1.0",
                                        "gzip-only-text/html",
                                        "no-gzip",
                                        "force-gzip",
                                        "no-brotli",
                                        "dont-vary",
                                        "redirect-carefully",
                                        "ssl-unclean-shutdown",
                                        "ssl-accurate-shutdown",
                                        NULL};
    int i;

    for (i = 0; names[i] && strcasecmp(name, names[i]); i++) {
    }
    return names[i] != NULL || !strncasecmp(name, "force-response-1.0", 18);
}

/* SetEnvIf User-Agent regex name=value..., BrowserMatch regex name=value..., SetEnv name */
static void classify(migrate_t *m, char **args, const char *data)
{
    int first = *data - '0', agent, any = 0, n;

    for (n = 0; args[n]; n++) {
    }
    if (n <= first) {
        return;
    }
    agent = first == 1 || (first == 2 && !strcasecmp(args[0], "User-Agent"));
    for (args += first; *args; args++) {
        const char *name = **args == '!' ? *args + 1 : *args;
        name = apr_pstrndup(m->c->pool, name, strcspn(name, "="));
        if (is_no_cache(name)) {
            bypass_no_cache(m);
        } else if (agent && !is_of_httpd(name)) {
            apr_table_setn(m->classes, name, "");
            any = 1;
        }
        if (!first) {
            break; /* SetEnv name value */
        }
    }
    if (any) {
        note(m, m->gone, "", classifies_itself);
    }
}

/* RewriteCond %{HTTP_USER_AGENT} regex: about the next rule. */
static void rewrite_cond(migrate_t *m, char **args, const char *data)
{
    if (args[0] && (!strcasecmp(args[0], "%{HTTP_USER_AGENT}") ||
                    !strcasecmp(args[0], "%{HTTP:User-Agent}"))) {
        APR_ARRAY_PUSH(m->conds, const char *) = m->from;
    }
}

/* RewriteRule regex - [E=name:value]. One that does more stays as it is. */
static void rewrite_rule(migrate_t *m, char **args, const char *data)
{
    const char *flags = args[0] && args[1] ? args[2] : NULL, *at, *name, *rule = m->from;
    int i;

    at = flags ? strstr(flags, "E=") : NULL;
    at = at ? at + 2 : flags && (at = strstr(flags, "env=")) ? at + 4 : NULL;
    name = at ? apr_pstrndup(m->c->pool, at, strcspn(at, ":,]")) : "";
    if (is_no_cache(name)) {
        bypass_no_cache(m);
    } else if (*name && m->conds->nelts && !strcmp(args[1], "-")) {
        apr_table_setn(m->classes, name, "");
        for (i = 0; i < m->conds->nelts; i++) {
            m->from = APR_ARRAY_IDX(m->conds, i, const char *);
            note(m, m->gone, "", classifies_itself);
        }
        m->from = rule;
        note(m, m->gone, "", classifies_itself);
    }
    apr_array_clear(m->conds);
}

/* The variable in "%{name}e"; NULL: it is something else. */
static const char *variable(const char *value, apr_pool_t *p)
{
    const char *end = value ? strchr(value, '}') : NULL;

    return end && !strncmp(value, "%{", 2) && end[1] == 'e'
               ? apr_pstrmemdup(p, value + 2, (apr_size_t)(end - value) - 2)
               : NULL;
}

/* The variable that a field is set from, or on which it is set; NULL: none. */
static const char *deciding(char **args, apr_pool_t *p)
{
    const char *at, *name = variable(args[2], p);

    if (name || !args[2] || !args[3]) {
        return name;
    }
    at = strstr(args[3], "reqenv:");
    at = at ? at + strlen("reqenv:") : !strncmp(args[3], "env=", 4) ? args[3] + 4 : NULL;
    return at ? apr_pstrndup(p, at, strcspn(at, "}'\"=) ")) : NULL;
}

/* Is this a section <If "%{HTTP_USER_AGENT} ..."> or the like? */
static int is_about_agent(const char *section)
{
    return (!strncasecmp(section, "If", 2) || !strncasecmp(section, "Else", 4)) &&
           (strstr(section, "HTTP_USER_AGENT") || strstr(section, "User-Agent"));
}

static const char *without_colon(migrate_t *m, const char *field)
{
    return apr_pstrndup(m->c->pool, field, strcspn(field, ":"));
}

/* RequestHeader set name "%{class}e", or name value env=class */
static void request_field(migrate_t *m, char **args, const char *data)
{
    const char *name, *field;

    if (!args[0] || !args[1]) {
        return;
    }
    name = deciding(args, m->c->pool);
    field = without_colon(m, args[1]);
    if (is_about_agent(m->section) || (name && apr_table_get(m->classes, name))) {
        if (!strcasecmp(field, "User-Agent")) {
            note(m, m->open, "",
                 "take it out, and let the application look at X-Device-Type");
            return;
        }
        apr_table_setn(m->fields, field, "");
    } else if (!apr_table_get(m->fields, field)) {
        if (!name && args[2] && !apr_is_empty_table(m->classes)) {
            note(m, m->open, "",
                 "if it tells the device, take it out: it would overrule the module's");
        }
        return;
    }
    note(m, m->gone, "", "the module sends the class itself");
    if (strcasecmp(field, "X-Device-Type")) {
        note(m, m->lines, "",
             apr_pstrcat(m->c->pool, "DevCacheDeviceHeader ", field, NULL));
    }
}

/* Header append Vary name, Header unset Vary */
static void vary(migrate_t *m, char **args, const char *data)
{
    int i = args[0] &&
            (!strcasecmp(args[0], "always") || !strcasecmp(args[0], "onsuccess"));

    if (!args[i] || !args[i + 1] || strcasecmp(without_colon(m, args[i + 1]), "Vary")) {
        return;
    }
    if (args[i + 2] && apr_table_get(m->fields, args[i + 2])) {
        note(m, m->gone, "",
             "responses are kept apart by class: DevCacheVaryDevice is On");
    } else if (!strcasecmp(args[i], "unset") || !strcasecmp(args[i], "set")) {
        note(
            m, m->open, "",
            "it takes away what responses differ by, so that visitors get each other's; "
            "take it out, and see DevCacheNormalize and DevCacheEncodings for what split "
            "the cache");
    }
}

static const struct {
    const char *name;
    row_fn *fn;
    const char *data;
} rows[] = {
    {"CacheEnable", enable, "On"},
    {"CacheDisable", enable, "Off"},
    {"CacheRoot", root, NULL},
    {"CacheDefaultExpire", rename_local, "DevCacheDefaultTTL"},
    {"CacheMaxExpire", rename_local, "DevCacheMaxTTL"},
    {"CacheMinExpire", rename_local, "DevCacheMinTTL"},
    {"CacheMaxFileSize", rename_local, "DevCacheMaxObjectSize"},
    {"CacheLastModifiedFactor", factor, NULL},
    {"CacheStaleOnError", if_on, "DevCacheStaleIfError 3600"},
    {"CacheIgnoreCacheControl", if_on, "DevCacheIgnoreClientControl On"},
    {"CacheIgnoreQueryString", if_on, "DevCacheQuery ignore"},
    {"CacheIgnoreURLSessionIdentifiers", query_names, NULL},
    {"CacheIgnoreHeaders", hide_fields, NULL},
    {"CacheHeader", if_on, "DevCacheStatusHeader On"},
    {"CacheDetailHeader", if_on, "DevCacheStatusHeader On"},
    {"CacheQuickHandler", drop, "hits always come after Require and rewriting"},
    {"CacheLock", drop, "one fetch for all who want a page is the default"},
    {"CacheLockMaxAge", drop, "DevCacheCollapseWait, 10 s, is what bounds waiting"},
    {"CacheLockPath", drop, "no lock file is needed"},
    {"CacheDirLevels", drop, "the store has no such folders"},
    {"CacheDirLength", drop, "the store has no such folders"},
    {"CacheMinFileSize", drop, "small responses are stored as well"},
    {"CacheReadSize", drop, "bodies are streamed"},
    {"CacheReadTime", drop, "bodies are streamed"},
    {"CacheIgnoreNoLastMod", drop, "no Last-Modified is needed"},
    {"CacheStorePrivate", look, "private responses are never stored"},
    {"CacheStoreNoStore", look, "no-store responses are never stored"},
    {"CacheStoreExpired", look, "DevCacheMinTTL or DevCacheForceTTL, if that is meant"},
    {"CacheKeyBaseURL", look,
     "the key has the host that is asked; use UseCanonicalName, or "
     "a redirect to one host"},
    {"CacheSocache", look, "there is the disk store, with DevCacheMemory before it"},
    {"CacheSocacheMaxSize", look, "DevCacheMaxObjectSize, if that is meant"},
    {"CacheSocacheMaxTime", look, "DevCacheMaxTTL, if that is meant"},
    {"CacheSocacheMinTime", look, "DevCacheMinTTL, if that is meant"},
    {"Include", look, "run migrate on that file, too"},
    {"IncludeOptional", look, "run migrate on those files, too"},
    /* the number: before how many arguments the variables stand */
    {"SetEnvIf", classify, "2"},
    {"SetEnvIfNoCase", classify, "2"},
    {"BrowserMatch", classify, "1"},
    {"BrowserMatchNoCase", classify, "1"},
    {"SetEnv", classify, "0"},
    {"RewriteCond", rewrite_cond, NULL},
    {"RewriteRule", rewrite_rule, NULL},
    {"RequestHeader", request_field, NULL},
    {"Header", vary, NULL},
};

/* ---- the file ------------------------------------------------------------------- */

/* One directive, with lines that end in a backslash joined; NULL at the end. */
static char *read_directive(FILE *file, int *pnumber, apr_pool_t *p)
{
    static char buffer[LINE_MAX_BYTES];
    const char *text = "";
    apr_size_t len;

    while (fgets(buffer, sizeof buffer, file)) {
        ++*pnumber;
        len = strlen(buffer);
        while (len && apr_isspace(buffer[len - 1])) {
            buffer[--len] = '\0';
        }
        if (!len || buffer[len - 1] != '\\') {
            return apr_pstrcat(p, text, buffer, NULL);
        }
        buffer[len - 1] = ' ';
        text = apr_pstrcat(p, text, buffer, NULL);
    }
    return *text ? apr_pstrdup(p, text) : NULL;
}

static int begins(const char *text, const char *word)
{
    return !strncasecmp(text, word, strlen(word));
}

/* Does a section of this name hold for some requests only? <IfModule> and the like do not. */
static int merges(const char *name)
{
    static const char *const names[] = {"Location", "Directory", "Files", "Proxy",
                                        "Else"};
    unsigned i;

    for (i = 0; i < sizeof names / sizeof *names; i++) {
        if (begins(name, names[i])) {
            return 1;
        }
    }
    return begins(name, "If") && !apr_isalpha(name[2]);
}

static void section(migrate_t *m, char *text)
{
    char *end = strrchr(text, '>');

    if (text[1] == '/') {
        if (begins(text, "</VirtualHost")) {
            m->host = "";
        } else if (merges(text + 2)) {
            apr_array_pop(m->inside);
        }
    } else {
        if (end) {
            *end = '\0';
        }
        if (begins(text, "<VirtualHost")) {
            m->host = text + 1;
        } else if (merges(text + 1)) {
            APR_ARRAY_PUSH(m->inside, const char *) = text + 1;
        }
    }
    m->section = m->inside->nelts
                     ? APR_ARRAY_IDX(m->inside, m->inside->nelts - 1, const char *)
                     : "";
}

static void directive(migrate_t *m, const char *text)
{
    char **args;
    apr_size_t i;

    if (apr_tokenize_to_argv(text, &args, m->c->pool) != APR_SUCCESS || !args[0]) {
        return;
    }
    for (i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!strcasecmp(args[0], rows[i].name)) {
            rows[i].fn(m, args + 1, rows[i].data);
        }
    }
}

static void read_file(migrate_t *m, FILE *file)
{
    int number = 0;
    char *text;

    rewind(file);
    m->lines = apr_array_make(m->c->pool, 16, sizeof(note_t));
    m->gone = apr_array_make(m->c->pool, 16, sizeof(note_t));
    m->open = apr_array_make(m->c->pool, 4, sizeof(note_t));
    m->inside = apr_array_make(m->c->pool, 4, sizeof(const char *));
    m->conds = apr_array_make(m->c->pool, 4, sizeof(const char *));
    m->host = m->section = "";
    while ((text = read_directive(file, &number, m->c->pool)) != NULL) {
        while (apr_isspace(*text)) {
            text++;
        }
        m->from = apr_psprintf(m->c->pool, "%d: %s", number, text);
        if (*text == '<') {
            section(m, text);
        } else if (*text && *text != '#') {
            directive(m, text);
        }
    }
}

/* ---- order ---------------------------------------------------------------------- */

/* What is off is said last, as httpd has the last section count. */
static int place_of(const migrate_t *m, const note_t *n)
{
    int i;

    for (i = 0; i < m->lines->nelts; i++) {
        const note_t *other = &APR_ARRAY_IDX(m->lines, i, note_t);
        if (!strcmp(other->host, n->host) && !strcasecmp(other->section, n->section) &&
            !strcmp(other->text, "DevCache Off")) {
            return 2;
        }
    }
    return *n->section ? 1 : 0;
}

static void take(migrate_t *m, apr_array_header_t *to, const char *host)
{
    int place, i;

    for (place = 0; place <= 2; place++) {
        for (i = 0; i < m->lines->nelts; i++) {
            const note_t *n = &APR_ARRAY_IDX(m->lines, i, note_t);
            if (!strcmp(n->host, host) && place_of(m, n) == place) {
                APR_ARRAY_PUSH(to, note_t) = *n;
            }
        }
    }
}

static void arrange(migrate_t *m)
{
    apr_array_header_t *sorted = apr_array_make(m->c->pool, 16, sizeof(note_t));
    int i, k;

    take(m, sorted, "");
    for (i = 0; i < m->lines->nelts; i++) {
        const note_t *n = &APR_ARRAY_IDX(m->lines, i, note_t);
        for (k = 0;
             k < sorted->nelts && strcmp(APR_ARRAY_IDX(sorted, k, note_t).host, n->host);
             k++) {
        }
        if (k == sorted->nelts && *n->host) {
            take(m, sorted, n->host);
        }
    }
    m->lines = sorted;
}

/* ---- printing ------------------------------------------------------------------- */

static void print_text(const char *before, const char *text)
{
    fputs(before, stdout);
    ctl_print_str(stdout, text);
}

/* The lines of one section; each once, whatever it was said by. */
static void print_section(const migrate_t *m, apr_size_t first)
{
    const note_t *all = (const note_t *)m->lines->elts;
    const char *indent = *all[first].section ? "    " : "";
    int i, k;

    if (*all[first].section) {
        print_text("<", all[first].section);
        puts(">");
    }
    for (i = (int)first; i < m->lines->nelts; i++) {
        if (strcmp(all[i].host, all[first].host) ||
            strcasecmp(all[i].section, all[first].section)) {
            continue;
        }
        for (k = (int)first; k < i && strcmp(all[k].text, all[i].text); k++) {
        }
        if (k == i) {
            fputs(indent, stdout);
            print_text("# line ", all[i].from);
            putchar('\n');
            print_text(indent, all[i].text);
            putchar('\n');
        }
    }
    if (*all[first].section) {
        printf("</%.*s>\n", (int)strcspn(all[first].section, " "), all[first].section);
    }
}

static void print_lines(const migrate_t *m)
{
    const note_t *all = (const note_t *)m->lines->elts;
    const char *host = "";
    int i, k;

    for (i = 0; i < m->lines->nelts; i++) {
        for (k = 0; k < i && (strcmp(all[k].host, all[i].host) ||
                              strcasecmp(all[k].section, all[i].section));
             k++) {
        }
        if (k < i) {
            continue; /* was printed with the first of them */
        }
        if (strcmp(host, all[i].host)) {
            print_text("\n# in <", all[i].host);
            puts(">");
            host = all[i].host;
        }
        print_section(m, (apr_size_t)i);
    }
}

static void print_notes(const char *title, const apr_array_header_t *notes)
{
    int i;

    if (notes->nelts) {
        printf("\n# %s\n", title);
    }
    for (i = 0; i < notes->nelts; i++) {
        const note_t *n = &APR_ARRAY_IDX(notes, i, note_t);
        print_text("#   line ", n->from);
        print_text("\n#     ", n->text);
        putchar('\n');
    }
}

static void put_notes(devcache_json_t *j, const char *name,
                      const apr_array_header_t *notes)
{
    int i;

    devcache_json_array(j, name);
    for (i = 0; i < notes->nelts; i++) {
        const note_t *n = &APR_ARRAY_IDX(notes, i, note_t);
        devcache_json_object(j, NULL);
        devcache_json_string(j, "host", n->host);
        devcache_json_string(j, "section", n->section);
        devcache_json_string(j, "text", n->text);
        devcache_json_string(j, "line", n->from);
        devcache_json_end(j);
    }
    devcache_json_end(j);
}

static void print_json(const migrate_t *m)
{
    devcache_json_t j;

    ctl_json_begin(&j);
    devcache_json_object(&j, NULL);
    put_notes(&j, "write", m->lines);
    put_notes(&j, "not_needed", m->gone);
    put_notes(&j, "look_at", m->open);
    devcache_json_end(&j);
    putchar('\n');
}

int ctl_migrate(ctl_t *c)
{
    migrate_t m = {c};
    FILE *file = fopen(c->argv[0], "r");

    if (!file) {
        return ctl_wrong(c, "%s cannot be read: %s", c->argv[0], strerror(errno));
    }
    m.classes = apr_table_make(c->pool, 4);
    m.fields = apr_table_make(c->pool, 4);
    read_file(&m, file);
    read_file(&m, file);
    arrange(&m);
    fclose(file);
    if (!m.lines->nelts && !m.gone->nelts && !m.open->nelts) {
        return ctl_fail(c, "%s has nothing of mod_cache, nor a recipe for devices",
                        c->argv[0]);
    }
    if (c->json) {
        print_json(&m);
        return CTL_OK;
    }
    print_text("# What replaces mod_cache in ", c->argv[0]);
    puts(". Nothing was changed there.");
    print_lines(&m);
    if (m.lines->nelts && !m.has_root) {
        puts("\n# CacheRoot is in another file. Say DevCacheRoot once: on Debian, "
             "a2enconf libapache2-mod-devcache.");
    }
    print_notes("Take these lines out:", m.gone);
    print_notes("Look at these yourself:", m.open);
    return CTL_OK;
}
