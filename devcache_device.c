#include "devcache_device.h"

#include <assert.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "devcache_device_agent.h"
#include "devcache_device_hints.h"
#include "devcache_device_memo.h"

/*
 * The device classifier.
 *
 * What decides, in this order:
 *   1. the visitor's own choice: the cookie, if it names a class (DevCacheDeviceCookie);
 *   2. the administrator's own rules, first match (DevCacheDeviceRule, PCRE2);
 *   3. the built-in rules, in the order of devcache_device_rules.c: bots; consoles,
 *      headsets, watches; feature phones; cars; TV by name, by model, by the inches in
 *      its model; iPad, iPhone, Macintosh with Mobile/; models of tablets and phones by
 *      prefix, then tablets and phones by name; CrOS; Android with Mobile; Android apps
 *      (Dalvik); other Android (tablet); Mobile; pc;
 *   4. Client Hints, which refine what 3 says (devcache_device_use_hints).
 * The kind found is then folded to the class that is cached (DevCacheDeviceFold).
 *
 * Three files do the work: devcache_device_agent.c reads the string in one pass,
 * devcache_device_hints.c the hints, devcache_device_memo.c remembers. This one owns the
 * configuration, the own rules and the cookie.
 *
 * What cannot be known: an iPad that asks for the desktop site sends a Macintosh string,
 * an Android tablet in desktop mode a Linux one. Both are pc here.
 *
 * Verdicts. Every answer that the rules can give is numbered once, at compile: the labels
 * of the built-in agent, the hints, the own rules. A classification is that number and,
 * for a bot, the device that it imitates, which fits into the 16 bits of the memo; the
 * three strings of the result are looked up at the end.
 *
 * Life cycle: create and configure while httpd reads its configuration, compile once,
 * then only read, by any thread. PCRE2's codes are freed by the pool's cleanup.
 */

#define AGENT_MAX 1024    /* bytes of User-Agent that are read */
#define CLASS_MAX 32      /* bytes of a class name */
#define CLASSES_MAX 64    /* built-in and own classes */
#define OWN_MAX 500       /* own rules: their verdicts must fit into VERDICT_BITS */
#define MATCH_LIMIT 10000 /* steps of PCRE2 per rule; a sane pattern needs hundreds */
#define VERDICT_BITS 13
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
    unsigned char klass;
} own_t;

typedef struct {
    const char *rule;
    unsigned char klass; /* before folding */
    unsigned char by_hints;
} verdict_t;

/* One classification: what the memo keeps. */
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
    const verdict_t *verdicts; /* [0] is unused: 0 is "not in the memo" */
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
                             unsigned *pklass)
{
    const char *error = check_class_name(name, rules->pool);
    if (error) {
        return error;
    }
    *pklass = find_class(rules, name);
    if (*pklass == CLASSES_MAX) {
        return apr_psprintf(rules->pool, "'%s' is one class too many: at most %d", name,
                            CLASSES_MAX);
    }
    if (*pklass == rules->nclasses) {
        char *lower = apr_pstrdup(rules->pool, name);
        for (char *c = lower; *c; c++) {
            *c = (char)apr_tolower(*c);
        }
        rules->classes[rules->nclasses++].name = lower;
    }
    return NULL;
}

const char *devcache_device_add_rule(devcache_device_rules_t *rules, const char *klass,
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
    const char *error = add_class(rules, klass, &number);
    if (error) {
        return error;
    }
    /* Where there is no JIT the interpreter matches, slower but under the same limits. */
    (void)pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);
    own_t *own = apr_array_push(rules->own);
    own->regex = apr_pstrdup(rules->pool, regex);
    own->code = compiled;
    own->klass = (unsigned char)number;
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
                rules->classes[own[n].klass].name, own[n].regex,
                rules->classes[shadow->klass].name, shadow->regex);
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

static void add_verdict(verdict_t *v, const char *rule, unsigned klass, int by_hints)
{
    v->rule = rule;
    v->klass = (unsigned char)klass;
    v->by_hints = (unsigned char)by_hints;
}

static void list_verdicts(devcache_device_rules_t *rules, apr_pool_t *p)
{
    unsigned labels = devcache_device_agent_labels(rules->agent);
    unsigned n = 1;
    rules->first_hint = n + labels;
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
        add_verdict(&v[n++], own->regex, own->klass, 0);
    }
    assert(n <= 1u << VERDICT_BITS);
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
    out->verdict = 1 + said.label;
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

static const char *folded(const devcache_device_rules_t *rules, unsigned klass,
                          devcache_kind_t device)
{
    unsigned to = rules->classes[klass].fold;
    if (to == BY_AGENT) {
        to = rules->classes[device].fold;
    }
    return rules->classes[to].name;
}

static void tell(const devcache_device_rules_t *rules, const finding_t *finding,
                 devcache_device_result_t *out)
{
    const verdict_t *v = &rules->verdicts[finding->verdict];
    out->klass = folded(rules, v->klass, finding->device);
    out->kind = rules->classes[v->klass].name;
    out->rule = v->rule;
    out->by_cookie = 0;
    out->by_hints = v->by_hints;
}

/* The class that classify can return and that has exactly this name; or NULL. */
static const char *shown_class(const devcache_device_rules_t *rules, const char *name,
                               apr_size_t size)
{
    for (unsigned c = 0; c < rules->nclasses; c++) {
        const char *klass = rules->classes[c].name;
        if (rules->classes[c].fold == c && strlen(klass) == size &&
            !memcmp(klass, name, size)) {
            return klass;
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

int devcache_device_known(const devcache_device_rules_t *rules, const char *klass)
{
    return shown_class(rules, klass, strlen(klass)) != NULL;
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
    const char *klass = rules->cookie ? choice(rules, in->cookie) : NULL;
    if (!klass) {
        return 0;
    }
    out->klass = klass;
    out->kind = klass;
    out->rule = "cookie";
    out->by_cookie = 1;
    out->by_hints = 0;
    return 1;
}

void devcache_device_classify(const devcache_device_rules_t *rules,
                              const devcache_device_input_t *in,
                              devcache_device_result_t *out)
{
    devcache_device_classify_memo(rules, NULL, in, out);
}

/* Appends a length and @a s to the key; so no two inputs make the same key. */
static char *add_to_key(char *to, const char *s, apr_size_t size)
{
    apr_uint16_t length = (apr_uint16_t)size;
    memcpy(to, &length, sizeof(length));
    memcpy(to + sizeof(length), s, size);
    return to + sizeof(length) + size;
}

/* An absent hint and one that is too long say the same: nothing. */
static char *add_hint_to_key(char *to, const char *hint)
{
    apr_size_t size = hint ? strnlen(hint, DEVCACHE_DEVICE_HINT_MAX + 1) : 0;
    int legible = size > 0 && size <= DEVCACHE_DEVICE_HINT_MAX;
    return add_to_key(to, legible ? hint : "", legible ? size : 0);
}

/* All that decides: the rules (vhosts share a memo), the string, the hints if read. */
static apr_uint64_t hash_input(const devcache_device_rules_t *rules,
                               const devcache_device_memo_t *memo,
                               const devcache_device_input_t *in, const char *agent,
                               apr_size_t size)
{
    apr_uintptr_t which = (apr_uintptr_t)rules;
    char key[sizeof(which) + AGENT_MAX + 3 * DEVCACHE_DEVICE_HINT_MAX +
             4 * sizeof(apr_uint16_t)];
    memcpy(key, &which, sizeof(which));
    char *end = add_to_key(key + sizeof(which), agent, size);
    if (rules->use_hints) {
        end = add_hint_to_key(end, in->ch_mobile);
        end = add_hint_to_key(end, in->ch_platform);
        end = add_hint_to_key(end, in->ch_form_factors);
    }
    return devcache_device_memo_hash(memo, key, (apr_size_t)(end - key));
}

void devcache_device_classify_memo(const devcache_device_rules_t *rules,
                                   devcache_device_memo_t *memo,
                                   const devcache_device_input_t *in,
                                   devcache_device_result_t *out)
{
    finding_t finding;
    if (chosen(rules, in, out)) {
        return;
    }
    const char *agent = in->user_agent ? in->user_agent : "";
    apr_size_t size = strnlen(agent, AGENT_MAX);
    apr_uint64_t hash = memo ? hash_input(rules, memo, in, agent, size) : 0;
    unsigned value = memo ? devcache_device_memo_get(memo, hash) : 0;
    if (value) {
        finding.verdict = value & ((1u << VERDICT_BITS) - 1);
        finding.device = (devcache_kind_t)(value >> VERDICT_BITS);
    } else {
        find(rules, in, agent, size, &finding);
        if (memo) {
            value = finding.verdict | (unsigned)finding.device << VERDICT_BITS;
            devcache_device_memo_put(memo, hash, value);
        }
    }
    tell(rules, &finding, out);
}
