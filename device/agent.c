/* SPDX-License-Identifier: Apache-2.0 */
#include "device/agent.h"

#include <assert.h>
#include <string.h>

#include <apr_strings.h>

#include "device/automaton.h"

/*
 * One pass over the User-Agent, then a decision over one 64-bit set.
 *
 * An automaton over all words of all rules reads the string once. What it finds is a
 * set of rules, one bit each, with the first word that was met for it. A word may ask
 * for a boundary beside it, which is looked up in the string when the word is met. Then
 * the lowest bit whose conditions ("these bits as well, not those") hold decides, so the
 * cost does not grow with the number of rules or words, and no input makes it do more
 * than a fixed amount of work a byte.
 *
 * Android strings name a model ("Android 13; SM-X200 Build/..."). Its first letters are
 * looked up in a second automaton, a trie anchored where the model begins, in which the
 * longest prefix wins: "sm-t" and exceptions to it are two lines of one table. Makers'
 * names in front of the model are stepped over. What the model says sets the bit of a
 * rule like any word, and so has its place in the order.
 *
 * Life cycle: built once per pool (the configuration's) and found again there, so that
 * all vhosts share one. Never changed afterwards.
 */

_Static_assert(DEVCACHE_RULES <= 64, "a rule is a bit of a 64-bit set");

#define POOL_KEY "devcache_device_agent"
#define MAKERS_MAX 3 /* makers' names stepped over in front of a model */

/* What a word asks for beside it: '<', '^' or '#' before it, '>', '#' or '!' behind it. */
enum {
    AT_WORD = 1,
    AT_FIELD = 2,
    AT_DIGIT = 4,
    TO_WORD = 8,
    TO_DIGIT = 16,
    NO_DIGIT = 32
};

typedef struct {
    const char *name; /* "rule: word", for people */
    unsigned char rule;
    unsigned char kind;
    unsigned char edges; /* AT_ and TO_ bits */
    unsigned char size;  /* of the word, bytes */
} label_t;

struct devcache_device_agent_t {
    const devcache_automaton_t *words;  /* labels from 0 */
    const devcache_automaton_t *models; /* labels from first_model */
    label_t *labels;                    /* words, models, then one a rule without words */
    unsigned first_model;
    unsigned first_rule; /* label of rule r without words: first_rule + r */
    unsigned count;
    apr_uint64_t always; /* rules without words */
};

/* What one string says; word[r] is set for the bits of seen only. */
typedef struct {
    apr_uint64_t seen;
    apr_size_t android_end; /* offset behind "Android", 0 if absent */
    apr_uint16_t word[DEVCACHE_RULES];
} reading_t;

/* Letters and digits; bytes of UTF-8 names are letters as well. */
static int is_alnum(unsigned char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           c >= 0x80;
}

static int is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

/* A field begins at the start and behind ';', '(', ',' and spaces. */
static int at_field(const unsigned char *s, apr_size_t at)
{
    while (at > 0 && s[at - 1] == ' ') {
        at--;
    }
    return at == 0 || s[at - 1] == ';' || s[at - 1] == '(' || s[at - 1] == ',';
}

static int edges_hold(const unsigned char *s, apr_size_t size, apr_size_t end,
                      const label_t *l)
{
    apr_size_t begin = end - l->size;
    if ((l->edges & AT_WORD) && begin > 0 && is_alnum(s[begin - 1])) {
        return 0;
    }
    if ((l->edges & AT_DIGIT) && !(begin > 0 && is_digit(s[begin - 1]))) {
        return 0;
    }
    if ((l->edges & TO_WORD) && end < size && is_alnum(s[end])) {
        return 0;
    }
    if ((l->edges & TO_DIGIT) && !(end < size && is_digit(s[end]))) {
        return 0;
    }
    if ((l->edges & NO_DIGIT) && end < size && is_digit(s[end])) {
        return 0;
    }
    return !(l->edges & AT_FIELD) || at_field(s, begin);
}

static void note(reading_t *r, unsigned rule, unsigned label)
{
    apr_uint64_t bit = (apr_uint64_t)1 << rule;
    if (!(r->seen & bit)) {
        r->seen |= bit;
        r->word[rule] = (apr_uint16_t)label;
    }
}

static void note_words(const devcache_device_agent_t *a, const unsigned char *s,
                       apr_size_t size, apr_size_t end, unsigned word, reading_t *r)
{
    for (; word != DEVCACHE_AUTOMATON_NONE; word = a->words->also[word]) {
        const label_t *l = &a->labels[word];
        if (l->edges && !edges_hold(s, size, end, l)) {
            continue;
        }
        if (l->rule == DEVCACHE_RULE_ANDROID && !r->android_end) {
            r->android_end = end;
        }
        note(r, l->rule, word);
    }
}

/*
 * Nearly every browser has this behind "AppleWebKit/": a quarter of its string, in which
 * no word begins. The last bracket is left, as a word may begin with it.
 */
static apr_size_t skip_engine(const unsigned char *s, apr_size_t size)
{
    static const char engine[] = "537.36 (KHTML, like Gecko)";
    apr_size_t length = sizeof(engine) - 1;
    return size >= length && !memcmp(s, engine, length) ? length - 1 : 0;
}

static void read_words(const devcache_device_agent_t *a, const unsigned char *s,
                       apr_size_t size, reading_t *r)
{
    const devcache_automaton_t *words = a->words;
    apr_size_t at = 0;
    unsigned state = 0;
    while (at < size) {
        state = devcache_automaton_walk(words, state, s, &at, size);
        unsigned word = words->word[state];
        if (word == DEVCACHE_AUTOMATON_NONE) {
            return;
        }
        note_words(a, s, size, at, word, r);
        if (a->labels[word].rule == DEVCACHE_RULE_ENGINE) {
            apr_size_t skip = skip_engine(s + at, size - at);
            state = skip ? 0 : state;
            at += skip;
        }
    }
}

/* "en", "en-US", "zh_Hans", "U", "wv", "arm_64", "HarmonyOS": fields that are no model. */
static int is_filler(const unsigned char *s, apr_size_t size)
{
    if (size <= 2) {
        return size < 2 || !(is_digit(s[0]) || is_digit(s[1]));
    }
    if (size == 9 && !memcmp(s, "HarmonyOS", 9)) {
        return 1;
    }
    if (s[2] != '-' && s[2] != '_') {
        return (size >= 3 && !memcmp(s, "arm", 3) && size <= 6);
    }
    return size <= 7 && s[0] >= 'a' && s[0] <= 'z' && !is_digit(s[1]) && !is_digit(s[3]);
}

/*
 * The model's field behind "Android 4.4.2; de-de; ". Returns its first byte, and in
 * *psize its bytes up to " Build", ')' or ';'; NULL if there is none.
 */
static const unsigned char *find_model(const unsigned char *s, apr_size_t size,
                                       apr_size_t at, apr_size_t *psize)
{
    while (at < size && s[at] != ';' && s[at] != ')' && s[at] != ',') {
        at++; /* the version */
    }
    while (at < size && (s[at] == ';' || s[at] == ',')) {
        do {
            at++;
        } while (at < size && s[at] == ' ');
        apr_size_t begin = at;
        while (at < size && s[at] != ';' && s[at] != ')' && s[at] != ',') {
            at++;
        }
        if (!is_filler(s + begin, at - begin)) {
            *psize = at - begin;
            return s + begin;
        }
    }
    return NULL;
}

/* The longest prefix of @a s that is in the table; NONE if there is none. */
static unsigned longest_prefix(const devcache_device_agent_t *a, const unsigned char *s,
                               apr_size_t size, apr_size_t *pend)
{
    const devcache_automaton_t *models = a->models;
    unsigned found = DEVCACHE_AUTOMATON_NONE;
    unsigned state = 0;
    for (apr_size_t i = 0; i < size; i++) {
        state = devcache_automaton_step(models, state, s[i]);
        if (!state) {
            break;
        }
        if (state < models->first_worded) {
            continue;
        }
        for (unsigned word = models->word[state]; word != DEVCACHE_AUTOMATON_NONE;
             word = models->also[word]) {
            const label_t *l = &a->labels[a->first_model + word];
            if (!l->edges || edges_hold(s, size, i + 1, l)) {
                found = word;
                *pend = i + 1;
            }
        }
    }
    return found;
}

static void read_model(const devcache_device_agent_t *a, const unsigned char *s,
                       apr_size_t size, reading_t *r)
{
    for (int makers = 0; makers <= MAKERS_MAX; makers++) {
        apr_size_t end = 0;
        unsigned found = longest_prefix(a, s, size, &end);
        if (found == DEVCACHE_AUTOMATON_NONE) {
            return;
        }
        const label_t *l = &a->labels[a->first_model + found];
        if (l->kind != DEVCACHE_KIND_NONE) {
            note(r, l->rule, a->first_model + found);
            return;
        }
        s += end;
        size -= end;
    }
}

/* How many of the bytes from @a at on are upper case letters, or digits. */
static apr_size_t run_of(const unsigned char *s, apr_size_t size, apr_size_t at,
                         int digits)
{
    apr_size_t end = at;
    while (end < size && (digits ? is_digit(s[end]) : (s[end] >= 'A' && s[end] <= 'Z'))) {
        end++;
    }
    return end - at;
}

/*
 * How makers number: "BAH3-W09" is a tablet of Huawei's or Honor's without a SIM, and
 * "LYA-L29", "ANE-LX1", "MGI-AN00" are phones of theirs, unless the table knows a tablet;
 * "V2183A" is a phone of vivo's;
 * SoftBank's devices have its maker in two letters behind three digits, "801LV" and
 * "A101LV" are Lenovo's, which makes tablets for it. @return the rule, or DEVCACHE_RULES
 */
static unsigned numbered(const unsigned char *s, apr_size_t size)
{
    apr_size_t letters = run_of(s, size, 0, 0);
    apr_size_t digits = run_of(s, size, letters, 1);
    apr_size_t at = letters + digits;
    if (letters <= 1 && digits == 3 && size - at >= 2 && !memcmp(s + at, "LV", 2)) {
        return DEVCACHE_RULE_TABLET_NUMBER;
    }
    if (letters == 1 && s[0] == 'V' && digits == 4) {
        return DEVCACHE_RULE_PHONE_NUMBER;
    }
    if (letters != 3 || digits > 1 || at >= size || s[at] != '-') {
        return DEVCACHE_RULES;
    }
    letters = run_of(s, size, ++at, 0);
    digits = run_of(s, size, at + letters, 1);
    if (!letters || !digits) {
        return DEVCACHE_RULES;
    }
    if (letters == 1 && s[at] == 'W') {
        return digits == 2 ? DEVCACHE_RULE_TABLET_NUMBER : DEVCACHE_RULES;
    }
    return letters <= 2 && digits <= 2 && strchr("LNX", s[at + letters - 1])
               ? DEVCACHE_RULE_PHONE_NUMBER
               : DEVCACHE_RULES;
}

static int is_screen(unsigned inches)
{
    static const unsigned char sizes[] = {24, 28, 32, 39, 40, 42, 43, 48, 49, 50, 55,
                                          58, 60, 65, 70, 75, 77, 82, 83, 85, 86, 98};
    return memchr(sizes, (int)inches, sizeof(sizes)) != NULL;
}

/* Whether the two digits at @a at are the inches of a television's model: see below. */
static int is_diagonal(const unsigned char *s, apr_size_t size, apr_size_t at)
{
    if (!is_screen((unsigned)(s[at] - '0') * 10 + (s[at + 1] - '0'))) {
        return 0;
    }
    apr_size_t end = at + 2;
    apr_size_t letters = run_of(s, size, end, 0);
    end += letters;
    if (at == 0 && letters > 0) {
        return 1;
    }
    if (letters > 1) {
        return run_of(s, size, end, 1) > 0 ||
               (end < size && !is_alnum(s[end]) && run_of(s, size, end + 1, 1) > 0);
    }
    if (at == 0 || letters != 1 || run_of(s, size, end, 1) < 2) {
        return 0;
    }
    return at == 1 || !is_alnum(s[at - 1]) || !is_alnum(s[at - 2]);
}

/*
 * A television's model has its diagonal in inches in front of capitals: at its begin
 * ("55U6K"), before two capitals and a digit ("TF-LED43S95"), or as a part of its own
 * before a capital and two digits ("HTY-50U11B"). Phones and tablets have numbers and
 * capitals too ("A50S", "T40HD", "MS50A500"), but not in these forms.
 */
static int has_inches(const unsigned char *s, apr_size_t size)
{
    apr_size_t i = 0;
    while (i < size && s[i] != '/') {
        apr_size_t digits = run_of(s, size, i, 1);
        if (digits == 2 && is_diagonal(s, size, i)) {
            return 1;
        }
        i += digits ? digits : 1;
    }
    return 0;
}

/* The first rule, by order, that decides and is not of kind @a except. */
static int decide(const reading_t *r, devcache_kind_t except)
{
    for (apr_uint64_t left = r->seen; left; left &= left - 1) {
        int rule = __builtin_ctzll(left);
        const devcache_device_rule_t *d = &devcache_device_rules[rule];
        if (d->kind != DEVCACHE_KIND_NONE && d->kind != except &&
            (r->seen & d->need) == d->need && !(r->seen & d->bar)) {
            return rule;
        }
    }
    return DEVCACHE_RULE_DEFAULT;
}

void devcache_device_agent_read(const devcache_device_agent_t *a, const char *str,
                                apr_size_t size, devcache_device_answer_t *out)
{
    const unsigned char *s = (const unsigned char *)str;
    reading_t r;
    r.word[DEVCACHE_RULE_DEFAULT] = 0; /* a rule that matches has noted its own */
    r.seen = a->always;
    r.android_end = 0;
    read_words(a, s, size, &r);
    if (r.android_end) {
        apr_size_t model_size;
        const unsigned char *model = find_model(s, size, r.android_end, &model_size);
        if (model) {
            read_model(a, model, model_size, &r);
            unsigned rule = numbered(model, model_size);
            if (rule != DEVCACHE_RULES) {
                note(&r, rule, a->first_rule + rule);
            }
            if (has_inches(model, model_size)) {
                note(&r, DEVCACHE_RULE_TV_INCH, a->first_rule + DEVCACHE_RULE_TV_INCH);
            }
        }
    }
    int rule = decide(&r, DEVCACHE_KIND_NONE);
    out->label = ((a->always >> rule) & 1) ? a->first_rule + (unsigned)rule
                                           : r.word[rule];
    out->kind = devcache_device_rules[rule].kind;
    out->device = out->kind;
    out->android = r.android_end != 0;
    if (out->kind == DEVCACHE_KIND_BOT) {
        out->device = devcache_device_rules[decide(&r, DEVCACHE_KIND_BOT)].kind;
    }
}

/* Splits "a|b|c": the next item and its size, or NULL. */
static const char *next_item(const char **plist, apr_size_t *psize)
{
    const char *item = *plist;
    if (!*item) {
        return NULL;
    }
    *psize = strcspn(item, "|");
    *plist = item + *psize + (item[*psize] == '|');
    return item;
}

static unsigned count_items(const char *list)
{
    unsigned n = 0;
    apr_size_t size;
    while (list && next_item(&list, &size)) {
        n++;
    }
    return n;
}

/* Takes the marks of the edges off an item of the table. */
static label_t parse_word(const char **pitem, apr_size_t size)
{
    label_t l = {NULL, 0, 0, 0, 0};
    const char *item = *pitem;
    if (*item == '<' || *item == '^' || *item == '#') {
        l.edges |= (*item == '<') ? AT_WORD : (*item == '^') ? AT_FIELD : AT_DIGIT;
        item++, size--;
    }
    if (item[size - 1] == '>' || item[size - 1] == '#' || item[size - 1] == '!') {
        l.edges |= (item[size - 1] == '>')   ? TO_WORD
                   : (item[size - 1] == '#') ? TO_DIGIT
                                             : NO_DIGIT;
        size--;
    }
    assert(size > 0 && size < 256);
    l.size = (unsigned char)size;
    *pitem = item;
    return l;
}

static void add_label(devcache_device_agent_t *a, apr_pool_t *p, label_t l, unsigned rule,
                      devcache_kind_t kind, const char *word)
{
    l.rule = (unsigned char)rule;
    l.kind = (unsigned char)kind;
    l.name = apr_psprintf(p, "%s%s%.*s", devcache_device_rules[rule].name,
                          l.size ? ": " : "", (int)l.size, word);
    a->labels[a->count++] = l;
}

static const devcache_automaton_t *build_words(devcache_device_agent_t *a, apr_pool_t *p,
                                               devcache_automaton_word_t *words)
{
    for (unsigned rule = 0; rule < DEVCACHE_RULES; rule++) {
        const devcache_device_rule_t *d = &devcache_device_rules[rule];
        const char *list = d->words ? d->words : "";
        const char *item;
        apr_size_t size;
        if (!d->words) {
            a->always |= (apr_uint64_t)1 << rule;
        }
        while ((item = next_item(&list, &size))) {
            label_t l = parse_word(&item, size);
            words[a->count].text = item;
            words[a->count].size = l.size;
            add_label(a, p, l, rule, d->kind, item);
        }
    }
    return devcache_automaton_build(p, words, a->count, 0);
}

static unsigned rule_of_model(devcache_kind_t kind)
{
    return kind == DEVCACHE_KIND_TV       ? DEVCACHE_RULE_TV_MODEL
           : kind == DEVCACHE_KIND_TABLET ? DEVCACHE_RULE_TABLET_MODEL
                                          : DEVCACHE_RULE_MOBILE_MODEL;
}

static const devcache_automaton_t *build_models(devcache_device_agent_t *a, apr_pool_t *p,
                                                devcache_automaton_word_t *words)
{
    a->first_model = a->count;
    for (unsigned m = 0; m < devcache_device_models_count; m++) {
        const char *list = devcache_device_models[m].prefixes;
        devcache_kind_t kind = devcache_device_models[m].kind;
        const char *item;
        apr_size_t size;
        while ((item = next_item(&list, &size))) {
            label_t l = parse_word(&item, size);
            words[a->count - a->first_model].text = item;
            words[a->count - a->first_model].size = l.size;
            add_label(a, p, l, rule_of_model(kind), kind, item);
        }
    }
    return devcache_automaton_build(p, words, a->count - a->first_model, 1);
}

static devcache_device_agent_t *build(apr_pool_t *p)
{
    devcache_device_agent_t *a = apr_pcalloc(p, sizeof(*a));
    unsigned n = DEVCACHE_RULES;
    for (unsigned rule = 0; rule < DEVCACHE_RULES; rule++) {
        n += count_items(devcache_device_rules[rule].words);
    }
    for (unsigned m = 0; m < devcache_device_models_count; m++) {
        n += count_items(devcache_device_models[m].prefixes);
    }
    a->labels = apr_palloc(p, n * sizeof(*a->labels));
    devcache_automaton_word_t *words = apr_palloc(p, n * sizeof(*words));
    a->words = build_words(a, p, words);
    a->models = build_models(a, p, words);
    assert(a->words && a->models);
    a->first_rule = a->count;
    for (unsigned rule = 0; rule < DEVCACHE_RULES; rule++) {
        label_t l = {NULL, 0, 0, 0, 0};
        add_label(a, p, l, rule, devcache_device_rules[rule].kind, "");
    }
    return a;
}

const devcache_device_agent_t *devcache_device_agent_get(apr_pool_t *p)
{
    void *agent = NULL;
    if (apr_pool_userdata_get(&agent, POOL_KEY, p) != APR_SUCCESS || !agent) {
        agent = build(p);
        apr_pool_userdata_setn(agent, POOL_KEY, NULL, p);
    }
    return agent;
}

unsigned devcache_device_agent_labels(const devcache_device_agent_t *a)
{
    return a->count;
}

const char *devcache_device_agent_label(const devcache_device_agent_t *a, unsigned label)
{
    return a->labels[label].name;
}

devcache_kind_t devcache_device_agent_kind(const devcache_device_agent_t *a,
                                           unsigned label)
{
    return (devcache_kind_t)a->labels[label].kind;
}
