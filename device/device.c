/* SPDX-License-Identifier: Apache-2.0 */
#include "device/device.h"

#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "device/agent.h"
#include "device/hints.h"
#include "device/memo.h"

/*
 * The device classifier.
 *
 * What decides, in this order:
 *   1. the visitor's own choice: the cookie, if it names a class (DevCacheDeviceCookie);
 *   2. the administrator's own rules, first match (DevCacheDeviceRule, PCRE2);
 *   3. the built-in rules, in the order of device/rules.c: bots; consoles,
 *      headsets, watches; feature phones; cars; TV by name, by model, by the inches in
 *      its model; iPad, iPhone, Macintosh with Mobile/; models of tablets and phones by
 *      prefix, then tablets and phones by name; CrOS; Android with Mobile; Android apps
 *      (Dalvik); other Android (tablet); Mobile; pc;
 *   4. Client Hints, which refine what 3 says (devcache_device_use_hints).
 * The kind found is then folded to the class that is cached (DevCacheDeviceFold).
 *
 * Two files do the work: device/agent.c reads the string in one pass, device/hints.c the
 * hints. This one owns the configuration, the own rules and the cookie. Nothing is
 * remembered: a table of answers saved 150 ns of a hit's 25 us, and nothing where strings
 * do not repeat.
 *
 * What cannot be known: an iPad that asks for the desktop site sends a Macintosh string,
 * an Android tablet in desktop mode a Linux one. Both are pc here.
 *
 * Verdicts. Every answer that the rules can give is numbered once, at compile: the labels
 * of the built-in agent, the hints, the own rules. A classification is that number and,
 * for a bot, the device that it imitates; the three strings of the result are looked up
 * at the end.
 *
 * Life cycle: create and configure while httpd reads its configuration, compile once,
 * then only read, by any thread. PCRE2's codes are freed by the pool's cleanup.
 */

#define AGENT_MAX 1024       /* bytes of User-Agent that are read */
#define CLASS_MAX 32         /* bytes of a class name */
#define CLASSES_MAX 64       /* built-in and own classes */
#define OWN_MAX 500          /* own rules; each is tried for each request */
#define MATCH_LIMIT 10000    /* steps of PCRE2 per rule; a sane pattern needs hundreds */
#define BY_AGENT CLASSES_MAX /* folds to the device that a bot imitates */

typedef struct {
    const char *name;   /* lower case */
    unsigned char fold; /* since compile: the class that is shown, or BY_AGENT */
} class_t;

typedef struct {
    const char *from;
    const char *to;
} fold_t;

typedef struct {
    const char *regex;
    pcre2_code *code;
    unsigned char class;
} own_t;

typedef struct {
    const char *rule;
    unsigned char class; /* before folding */
    unsigned char by_hints;
} verdict_t;

/* One classification, before the words for it. */
typedef struct {
    unsigned verdict;       /* number in verdicts */
    devcache_kind_t device; /* what a bot imitates */
} finding_t;

struct devcache_device_rules_t {
    apr_pool_t *pool;
    class_t classes[CLASSES_MAX]; /* the built-in ones first, numbered by kind */
    unsigned nclasses;
    apr_array_header_t *own;   /* of own_t */
    apr_array_header_t *folds; /* of fold_t; the last one for a class counts */
    pcre2_match_context *limits;
    const char *cookie; /* NULL: no cookie chooses */
    apr_size_t cookie_size;
    int use_hints;
    const devcache_device_agent_t *agent;
    const verdict_t *verdicts;
    unsigned first_hint;
    unsigned first_own;
};

static const char *const kind_names[DEVCACHE_KINDS] = {
    [DEVCACHE_KIND_PC] = "pc",         [DEVCACHE_KIND_TABLET] = "tablet",
    [DEVCACHE_KIND_MOBILE] = "mobile", [DEVCACHE_KIND_TV] = "tv",
    [DEVCACHE_KIND_BOT] = "bot",       [DEVCACHE_KIND_CONSOLE] = "console",
};

/* ---- configuration ---- */

static apr_status_t free_limits(void *data)
{
    pcre2_match_context_free(data);
    return APR_SUCCESS;
}

static apr_status_t free_code(void *data)
{
    pcre2_code_free(data);
    return APR_SUCCESS;
}

static void add_fold(devcache_device_rules_t *rules, const char *from, const char *to)
{
    fold_t *fold = apr_array_push(rules->folds);
    fold->from = apr_pstrdup(rules->pool, from);
    fold->to = apr_pstrdup(rules->pool, to);
}

devcache_device_rules_t *devcache_device_create(apr_pool_t *p)
{
    devcache_device_rules_t *rules = apr_pcalloc(p, sizeof(*rules));
    rules->pool = p;
    rules->own = apr_array_make(p, 4, sizeof(own_t));
    for (int kind = 0; kind < DEVCACHE_KINDS; kind++) {
        rules->classes[kind].name = kind_names[kind];
    }
    rules->nclasses = DEVCACHE_KINDS;
    rules->folds = apr_array_make(p, 4, sizeof(fold_t));
    add_fold(rules, "tv", "pc");
    add_fold(rules, "console", "pc");
    add_fold(rules, "bot", "by-agent");
    rules->limits = pcre2_match_context_create(NULL);
    if (rules->limits) {
        apr_pool_cleanup_register(p, rules->limits, free_limits, apr_pool_cleanup_null);
        pcre2_set_match_limit(rules->limits, MATCH_LIMIT);
        pcre2_set_depth_limit(rules->limits, MATCH_LIMIT);
    }
    return rules;
}

/* The class of that name (any case), or nclasses. */
static unsigned find_class(const devcache_device_rules_t *rules, const char *name)
{
    unsigned c = 0;
    while (c < rules->nclasses && strcasecmp(rules->classes[c].name, name) != 0) {
        c++;
    }
    return c;
}

static const char *check_class_name(const char *name, apr_pool_t *p)
{
    apr_size_t size = strlen(name);
    for (const char *c = name; *c; c++) {
        if (!apr_isalnum(*c) && *c != '_' && *c != '-') {
            size = 0;
        }
    }
    if (size == 0 || size > CLASS_MAX) {
        return apr_psprintf(
            p, "'%s' is not a class name: 1 to %d letters, digits, '-' or '_'", name,
            CLASS_MAX);
    }
    if (!strcasecmp(name, "by-agent") || !strcasecmp(name, "off")) {
        return apr_psprintf(p, "'%s' has a meaning of its own and cannot name a class",
                            name);
    }
    return NULL;
}

/* Finds or makes the class. */
static const char *add_class(devcache_device_rules_t *rules, const char *name,
                             unsigned *pclass)
{
    const char *error = check_class_name(name, rules->pool);
    if (error) {
        return error;
    }
    *pclass = find_class(rules, name);
    if (*pclass == CLASSES_MAX) {
        return apr_psprintf(rules->pool, "'%s' is one class too many: at most %d", name,
                            CLASSES_MAX);
    }
    if (*pclass == rules->nclasses) {
        char *lower = apr_pstrdup(rules->pool, name);
        for (char *c = lower; *c; c++) {
            *c = (char)apr_tolower(*c);
        }
        rules->classes[rules->nclasses++].name = lower;
    }
    return NULL;
}

const char *devcache_device_add_rule(devcache_device_rules_t *rules, const char *class,
                                     const char *regex)
{
    unsigned number;
    if (rules->own->nelts == OWN_MAX) {
        return apr_psprintf(rules->pool, "more than %d rules; join some with '|'",
                            OWN_MAX);
    }
    int code;
    PCRE2_SIZE offset;
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED, 0,
                                         &code, &offset, NULL);
    if (!compiled) {
        PCRE2_UCHAR text[128];
        pcre2_get_error_message(code, text, sizeof(text));
        return apr_psprintf(rules->pool, "bad pattern '%s': at offset %lu: %s", regex,
                            (unsigned long)offset, (const char *)text);
    }
    apr_pool_cleanup_register(rules->pool, compiled, free_code, apr_pool_cleanup_null);
    const char *error = add_class(rules, class, &number);
    if (error) {
        return error;
    }
    /* Where there is no JIT the interpreter matches, slower but under the same limits. */
    (void)pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);
    own_t *own = apr_array_push(rules->own);
    own->regex = apr_pstrdup(rules->pool, regex);
    own->code = compiled;
    own->class = (unsigned char)number;
    return NULL;
}

const char *devcache_device_fold(devcache_device_rules_t *rules, const char *from,
                                 const char *to)
{
    if (!strcasecmp(from, "off")) {
        apr_array_clear(rules->folds);
        return NULL;
    }
    const char *error = check_class_name(from, rules->pool);
    if (!error && strcasecmp(to, "off") != 0 && strcasecmp(to, "by-agent") != 0) {
        error = check_class_name(to, rules->pool);
    }
    if (!error && !strcasecmp(to, "by-agent") && strcasecmp(from, "bot") != 0) {
        error = apr_psprintf(rules->pool, "'%s' cannot fold by-agent: only bot can",
                             from);
    }
    if (!error) {
        add_fold(rules, from, to);
    }
    return error;
}

const char *devcache_device_set_cookie(devcache_device_rules_t *rules, const char *name)
{
    /* cookie-name is a token: RFC 6265, section 4.1.1; RFC 9110, section 5.6.2 */
    static const char token[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                "0123456789!#$%&'*+-.^_`|~";
    apr_size_t size = strlen(name);
    if (!size || name[strspn(name, token)]) {
        return apr_psprintf(rules->pool, "'%s' is not the name of a cookie", name);
    }
    rules->cookie = apr_pstrmemdup(rules->pool, name, size);
    rules->cookie_size = size;
    return NULL;
}

void devcache_device_use_hints(devcache_device_rules_t *rules, int on)
{
    rules->use_hints = on;
}

/* ---- compile ---- */

static int matches_everything(const char *regex)
{
    static const char *const all[] = {"",  ".",   ".*",  ".+",   "^",
                                      "$", "^.*", ".*$", "^.*$", "^.+$"};
    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (!strcmp(regex, all[i])) {
            return 1;
        }
    }
    return 0;
}

/* The rule before number @a n that leaves nothing for it; NULL if none is known to. */
static const own_t *find_shadow(const devcache_device_rules_t *rules, int n)
{
    const own_t *own = (const own_t *)rules->own->elts;
    for (int i = 0; i < n; i++) {
        if (!strcmp(own[i].regex, own[n].regex) || matches_everything(own[i].regex)) {
            return &own[i];
        }
    }
    return NULL;
}

static void warn_of_shadows(const devcache_device_rules_t *rules,
                            apr_array_header_t *warnings)
{
    const own_t *own = (const own_t *)rules->own->elts;
    for (int n = 0; n < rules->own->nelts; n++) {
        const own_t *shadow = find_shadow(rules, n);
        if (shadow) {
            APR_ARRAY_PUSH(warnings, const char *) = apr_psprintf(
                rules->pool, "rule '%s %s' can never match: '%s %s' stands before it",
                rules->classes[own[n].class].name, own[n].regex,
                rules->classes[shadow->class].name, shadow->regex);
        }
    }
}

/* One step of folding for each class; the last directive for a class counts. */
static const char *set_folds(devcache_device_rules_t *rules)
{
    for (unsigned c = 0; c < rules->nclasses; c++) {
        rules->classes[c].fold = (unsigned char)c;
    }
    for (int i = 0; i < rules->folds->nelts; i++) {
        const fold_t *f = &APR_ARRAY_IDX(rules->folds, i, fold_t);
        unsigned from = find_class(rules, f->from);
        unsigned to = !strcasecmp(f->to, "off")        ? from
                      : !strcasecmp(f->to, "by-agent") ? BY_AGENT
                                                       : find_class(rules, f->to);
        if (from == rules->nclasses || to == rules->nclasses) {
            return apr_psprintf(
                rules->pool, "cannot fold '%s' to '%s': there is no class '%s'", f->from,
                f->to, from == rules->nclasses ? f->from : f->to);
        }
        rules->classes[from].fold = (unsigned char)to;
    }
    return NULL;
}

/* Follows "a to b, b to c", so that one step is enough at run time. */
static const char *close_folds(devcache_device_rules_t *rules)
{
    for (unsigned c = 0; c < rules->nclasses; c++) {
        unsigned to = c;
        for (unsigned steps = 0; to != BY_AGENT && rules->classes[to].fold != to;
             steps++) {
            if (steps == rules->nclasses) {
                return apr_psprintf(rules->pool, "the folds of '%s' go in a circle",
                                    rules->classes[c].name);
            }
            to = rules->classes[to].fold;
        }
        rules->classes[c].fold = (unsigned char)to;
    }
    return NULL;
}

static void add_verdict(verdict_t *v, const char *rule, unsigned class, int by_hints)
{
    v->rule = rule;
    v->class = (unsigned char)class;
    v->by_hints = (unsigned char)by_hints;
}

static void list_verdicts(devcache_device_rules_t *rules, apr_pool_t *p)
{
    unsigned labels = devcache_device_agent_labels(rules->agent);
    unsigned n = 0;
    rules->first_hint = labels;
    rules->first_own = rules->first_hint + DEVCACHE_HINTS;
    verdict_t *v = apr_pcalloc(p, (rules->first_own + (unsigned)rules->own->nelts) *
                                      sizeof(*v));
    for (unsigned i = 0; i < labels; i++) {
        add_verdict(&v[n++], devcache_device_agent_label(rules->agent, i),
                    devcache_device_agent_kind(rules->agent, i), 0);
    }
    for (devcache_device_hint_t h = 0; h < DEVCACHE_HINTS; h++) {
        add_verdict(&v[n++], devcache_device_hints_name(h), devcache_device_hints_kind(h),
                    1);
    }
    for (int i = 0; i < rules->own->nelts; i++) {
        const own_t *own = &APR_ARRAY_IDX(rules->own, i, own_t);
        add_verdict(&v[n++], own->regex, own->class, 0);
    }
    rules->verdicts = v;
}

const char *devcache_device_compile(devcache_device_rules_t *rules, apr_pool_t *p,
                                    apr_array_header_t *warnings)
{
    const char *error = set_folds(rules);
    if (!error) {
        error = close_folds(rules);
    }
    if (error) {
        return error;
    }
    if (warnings) {
        warn_of_shadows(rules, warnings);
    }
    rules->agent = devcache_device_agent_get(p);
    list_verdicts(rules, p);
    return NULL;
}

/* ---- classify ---- */

/* Number of the own rule that matches, or -1. A match that fails is no match. */
static int match_own(const devcache_device_rules_t *rules, const char *agent,
                     apr_size_t size)
{
    int found = -1;
    pcre2_match_data *data;
    if (!rules->own->nelts || !(data = pcre2_match_data_create(1, NULL))) {
        return -1;
    }
    for (int i = 0; i < rules->own->nelts && found < 0; i++) {
        const own_t *own = &APR_ARRAY_IDX(rules->own, i, own_t);
        /* 0 is a match too: more groups than this data has room for */
        if (pcre2_match(own->code, (PCRE2_SPTR)agent, size, 0, 0, data, rules->limits) >=
            0) {
            found = i;
        }
    }
    pcre2_match_data_free(data);
    return found;
}

static void find(const devcache_device_rules_t *rules, const devcache_device_input_t *in,
                 const char *agent, apr_size_t size, finding_t *out)
{
    devcache_device_answer_t said;
    devcache_device_agent_read(rules->agent, agent, size, &said);
    out->verdict = said.label;
    out->device = said.device;
    int own = match_own(rules, agent, size);
    if (own >= 0) {
        out->verdict = rules->first_own + (unsigned)own;
        return;
    }
    if (rules->use_hints) {
        devcache_device_hint_t hint = devcache_device_hints_refine(in, &said);
        if (hint != DEVCACHE_HINTS) {
            out->verdict = rules->first_hint + hint;
        }
    }
}

static const char *folded(const devcache_device_rules_t *rules, unsigned class,
                          devcache_kind_t device)
{
    unsigned to = rules->classes[class].fold;
    if (to == BY_AGENT) {
        to = rules->classes[device].fold;
    }
    return rules->classes[to].name;
}

static void tell(const devcache_device_rules_t *rules, const finding_t *finding,
                 devcache_device_result_t *out)
{
    const verdict_t *v = &rules->verdicts[finding->verdict];
    out->class = folded(rules, v->class, finding->device);
    out->kind = rules->classes[v->class].name;
    out->rule = v->rule;
    out->by_cookie = 0;
    out->by_hints = v->by_hints;
}

/* The class that classify can return and that has exactly this name; or NULL. */
static const char *shown_class(const devcache_device_rules_t *rules, const char *name,
                               apr_size_t size)
{
    for (unsigned c = 0; c < rules->nclasses; c++) {
        const char *class = rules->classes[c].name;
        if (rules->classes[c].fold == c && strlen(class) == size &&
            !memcmp(class, name, size)) {
            return class;
        }
    }
    return NULL;
}

const char *devcache_device_class(const devcache_device_rules_t *rules, unsigned i)
{
    for (unsigned c = 0; c < rules->nclasses; c++) {
        if (rules->classes[c].fold == c && i-- == 0) {
            return rules->classes[c].name;
        }
    }
    return NULL;
}

int devcache_device_known(const devcache_device_rules_t *rules, const char *class)
{
    return shown_class(rules, class, strlen(class)) != NULL;
}

/*
 * The visitor's choice: the value of the first cookie of that name. Pairs are separated
 * by "; " (RFC 6265, section 4.2.1); a client may leave the space out, or add one.
 */
static const char *choice(const devcache_device_rules_t *rules, const char *cookies)
{
    while (cookies && *cookies) {
        const char *pair = cookies + strspn(cookies, " \t");
        apr_size_t size = strcspn(pair, ";");
        cookies = pair + size + (pair[size] == ';');
        while (size && (pair[size - 1] == ' ' || pair[size - 1] == '\t')) {
            size--;
        }
        if (size > rules->cookie_size && pair[rules->cookie_size] == '=' &&
            !memcmp(pair, rules->cookie, rules->cookie_size)) {
            apr_size_t skip = rules->cookie_size + 1;
            return shown_class(rules, pair + skip, size - skip);
        }
    }
    return NULL;
}

static int chosen(const devcache_device_rules_t *rules, const devcache_device_input_t *in,
                  devcache_device_result_t *out)
{
    const char *class = rules->cookie ? choice(rules, in->cookie) : NULL;
    if (!class) {
        return 0;
    }
    out->class = class;
    out->kind = class;
    out->rule = "cookie";
    out->by_cookie = 1;
    out->by_hints = 0;
    return 1;
}

void devcache_device_classify(const devcache_device_rules_t *rules,
                              const devcache_device_input_t *in,
                              devcache_device_result_t *out)
{
    finding_t finding;
    devcache_device_asked_t asked;
    if (chosen(rules, in, out) || devcache_device_memo_find(rules, in, &asked, out)) {
        return;
    }
    const char *agent = in->user_agent ? in->user_agent : "";
    find(rules, in, agent, strnlen(agent, AGENT_MAX), &finding);
    tell(rules, &finding, out);
    devcache_device_memo_put(&asked, out);
}
