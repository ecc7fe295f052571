/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device classifier: the labelled list, folding, cookie, hints, own rules, hostile
 * input; and its accuracy over the shared corpora where they are present.
 */
#include "tap.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "../../device/automaton.h"
#include "../../device/device.h"
#include "../../device/memo.h"

#define IPHONE                                                                           \
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 "       \
    "(KHTML, "                                                                           \
    "like Gecko) Version/17.0 Mobile/15E148 Safari/604.1"
#define DESKTOP                                                                          \
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "            \
    "Chrome/124.0.0.0 Safari/537.36"
#define TABLET                                                                           \
    "Mozilla/5.0 (Linux; Android 13; SM-X706B) AppleWebKit/537.36 (KHTML, like Gecko) "  \
    "Chrome/124.0.0.0 Safari/537.36"
#define TELEVISION                                                                       \
    "Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) "   \
    "SamsungBrowser/5.0 Chrome/94.0.4606.31 TV Safari/537.36"
#define BOT "Mozilla/5.0 (compatible; ExampleBot/1.0; +https://bot.example/)"
#define PHONE_BOT IPHONE " (compatible; ExampleBot/1.0; +https://bot.example/)"
#define TV_BOT TELEVISION " (compatible; ExampleBot/1.0; +https://bot.example/)"
#define XBOX                                                                             \
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox One) AppleWebKit/537.36 "      \
    "(KHTML, like Gecko) Chrome/90.0.4430.85 Safari/537.36 Edge/44.19041.7953"

static apr_pool_t *pool;

static devcache_device_rules_t *compiled(devcache_device_rules_t *rules)
{
    const char *error = devcache_device_compile(rules, pool, NULL);
    if (error) {
        ok(0, "compile: %s", error);
    }
    return rules;
}

static devcache_device_result_t classify(const devcache_device_rules_t *rules,
                                         const char *agent)
{
    devcache_device_input_t in = {agent, NULL, NULL, NULL, NULL};
    devcache_device_result_t out;
    devcache_device_classify(rules, &in, &out);
    return out;
}

static const char *class(const devcache_device_rules_t *rules, const char *agent)
{
    return classify(rules, agent).class;
}

/* ---- the labelled list ---- */

static char *read_line(FILE *f, char **pline, size_t *proom)
{
    ssize_t size = getline(pline, proom, f);
    if (size < 0) {
        return NULL;
    }
    (*pline)[strcspn(*pline, "\n")] = '\0';
    return *pline;
}

/* "bot/mobile": the kind, and the class after folding; without '/' they are the same. */
static int has_label(const devcache_device_result_t *r, const char *label)
{
    const char *slash = strchr(label, '/');
    size_t size = slash ? (size_t)(slash - label) : strlen(label);
    return strlen(r->kind) == size && !strncmp(r->kind, label, size) &&
           !strcmp(r->class, slash ? slash + 1 : label);
}

static void test_list(const devcache_device_rules_t *rules)
{
    char *line = NULL;
    size_t room = 0;
    int rows = 0;
    FILE *f = fopen("t/data/user-agents.tsv", "r");
    if (!ok(f != NULL, "list: t/data/user-agents.tsv opens")) {
        return;
    }
    while (read_line(f, &line, &room)) {
        char *agent = strchr(line, '\t');
        char *what = agent ? strchr(agent + 1, '\t') : NULL;
        if (line[0] == '#' || !what) {
            continue;
        }
        *agent++ = *what++ = '\0';
        devcache_device_result_t r = classify(rules, agent);
        rows++;
        if (!ok(has_label(&r, line), "list: %s: %s", line, what)) {
            printf("#   got: %s/%s by %s\n#    of: %s\n", r.kind, r.class, r.rule, agent);
        }
    }
    ok(rows >= 300, "list: %d rows", rows);
    free(line);
    fclose(f);
}

/* ---- folding ---- */

static void test_default_folds(const devcache_device_rules_t *rules)
{
    is_str(class(rules, TELEVISION), "pc", "fold: tv is pc");
    is_str(classify(rules, TELEVISION).kind, "tv", "fold: its kind is tv");
    is_str(class(rules, XBOX), "pc", "fold: console is pc");
    is_str(class(rules, BOT), "pc", "fold: a bot that imitates nothing is pc");
    is_str(class(rules, PHONE_BOT), "mobile", "fold: a bot is what it imitates");
    is_str(class(rules, TV_BOT), "pc", "fold: what it imitates is folded as well");
    ok(devcache_device_known(rules, "tablet"), "known: tablet");
    ok(!devcache_device_known(rules, "tv"), "known: tv is folded away");
    ok(!devcache_device_known(rules, "bot"), "known: bot is folded away");
    ok(!devcache_device_known(rules, "watch"), "known: no such class");
    ok(!devcache_device_known(rules, ""), "known: not the empty name");
}

static void test_own_folds(void)
{
    devcache_device_rules_t *rules = devcache_device_create(pool);
    is_str(devcache_device_fold(rules, "OFF", "x"), NULL, "fold: off");
    is_str(devcache_device_add_rule(rules, "kiosk", "Kiosk/"), NULL, "fold: own class");
    is_str(devcache_device_fold(rules, "kiosk", "tv"), NULL, "fold: kiosk to tv");
    is_str(devcache_device_fold(rules, "tv", "tablet"), NULL, "fold: tv to tablet");
    compiled(rules);
    is_str(class(rules, BOT), "bot", "fold: after off, a bot is a bot");
    is_str(class(rules, XBOX), "console", "fold: and a console a console");
    is_str(class(rules, "Kiosk/1.0"), "tablet", "fold: a chain is followed");
    is_str(classify(rules, "Kiosk/1.0").kind, "kiosk", "fold: the kind is not folded");
    ok(devcache_device_known(rules, "bot"), "known: an unfolded kind");
}

static void test_bad_folds(void)
{
    devcache_device_rules_t *rules = devcache_device_create(pool);
    is_str(devcache_device_fold(rules, "tv", "by-agent"),
           "'tv' cannot fold by-agent: only bot can", "fold: by-agent is for bots");
    ok(devcache_device_fold(rules, "t v", "pc") != NULL, "fold: bad name");
    devcache_device_fold(rules, "tv", "screen");
    is_str(devcache_device_compile(rules, pool, NULL),
           "cannot fold 'tv' to 'screen': there is no class 'screen'",
           "fold: unknown class is reported at compile");
    rules = devcache_device_create(pool);
    devcache_device_fold(rules, "pc", "tv");
    is_str(devcache_device_compile(rules, pool, NULL), "the folds of 'pc' go in a circle",
           "fold: a circle is reported");
    rules = devcache_device_create(pool);
    devcache_device_fold(rules, "tv", "off");
    compiled(rules);
    is_str(class(rules, TELEVISION), "tv", "fold: one kind unfolded");
    is_str(class(rules, XBOX), "pc", "fold: the others stay");
}

/* ---- cookie ---- */

static const char *by_cookie(const devcache_device_rules_t *rules, const char *cookie)
{
    devcache_device_input_t in = {IPHONE, NULL, NULL, NULL, cookie};
    devcache_device_result_t out;
    devcache_device_classify(rules, &in, &out);
    return out.by_cookie ? out.class : NULL;
}

static void test_cookie(const devcache_device_rules_t *plain)
{
    devcache_device_rules_t *rules = devcache_device_create(pool);
    ok(devcache_device_set_cookie(rules, "a b") != NULL, "cookie: bad name refused");
    ok(devcache_device_set_cookie(rules, "") != NULL, "cookie: empty name refused");
    is_str(devcache_device_set_cookie(rules, "view"), NULL, "cookie: name accepted");
    compiled(rules);
    is_str(by_cookie(rules, "view=pc"), "pc", "cookie: alone");
    is_str(by_cookie(rules, "a=1; view=tablet; b=2"), "tablet", "cookie: among others");
    is_str(by_cookie(rules, "a=1;view=pc ;b"), "pc", "cookie: spaces as they come");
    is_str(by_cookie(rules, "view=tv"), NULL, "cookie: a folded kind is no class");
    is_str(by_cookie(rules, "view=PC"), NULL, "cookie: case matters");
    is_str(by_cookie(rules, "view=pcx"), NULL, "cookie: longer value");
    is_str(by_cookie(rules, "view="), NULL, "cookie: no value");
    is_str(by_cookie(rules, "view"), NULL, "cookie: no sign");
    is_str(by_cookie(rules, "review=pc"), NULL, "cookie: longer name");
    is_str(by_cookie(rules, "VIEW=pc"), NULL, "cookie: name's case matters");
    is_str(by_cookie(rules, "a=view=pc"), NULL, "cookie: inside a value");
    is_str(by_cookie(rules, "view=x; view=pc"), NULL, "cookie: the first one counts");
    is_str(by_cookie(rules, ";;; ;view=pc"), "pc", "cookie: empty pairs");
    is_str(by_cookie(rules, ""), NULL, "cookie: empty field");
    is_str(by_cookie(rules, NULL), NULL, "cookie: no field");
    is_str(by_cookie(plain, "view=pc"), NULL, "cookie: not without a name");
}

/* ---- hints ---- */

static const char *hinted(const devcache_device_rules_t *rules, const char *agent,
                          const char *mobile, const char *platform, const char *factors,
                          int *pby_hints)
{
    devcache_device_input_t in = {agent, mobile, platform, factors, NULL};
    devcache_device_result_t out;
    devcache_device_classify(rules, &in, &out);
    *pby_hints = out.by_hints;
    return out.class;
}

static void test_hints(const devcache_device_rules_t *plain)
{
    static const struct {
        const char *agent, *mobile, *platform, *factors, *want, *name;
        int by_hints;
    } cases[] = {
        {DESKTOP, "?1", NULL, NULL, "mobile", "?1 is mobile", 1},
        {DESKTOP, " ?1 ", NULL, NULL, "mobile", "spaces around a boolean", 1},
        {TABLET, "?1", NULL, NULL, "tablet", "?1 but the string says tablet", 0},
        {TELEVISION, "?1", NULL, NULL, "pc", "?1 but the string says tv", 0},
        {DESKTOP, "?0", "\"Android\"", NULL, "tablet", "?0 on Android, string pc", 1},
        {DESKTOP, "?0", "Android", NULL, "tablet", "platform without quotes", 1},
        {DESKTOP, "?0", "\"Linux\"", NULL, "pc", "?0 on Linux", 0},
        {DESKTOP, "?0", "\"Androids\"", NULL, "pc", "another platform", 0},
        {DESKTOP, "?0", "\"Android", NULL, "pc", "platform with half its quotes", 0},
        {DESKTOP, NULL, "\"Android\"", NULL, "pc", "platform alone", 0},
        {IPHONE, "?0", "\"Android\"", NULL, "mobile", "?0 demotes no phone", 0},
        {TABLET, "?0", "\"Android\"", NULL, "tablet", "?0 demotes no tablet", 0},
        {DESKTOP, "1", NULL, NULL, "pc", "malformed boolean", 0},
        {DESKTOP, "?1?1", NULL, NULL, "pc", "two booleans", 0},
        {DESKTOP, "", "", "", "pc", "empty hints", 0},
        {DESKTOP, NULL, NULL, "\"Tablet\"", "tablet", "form factor Tablet", 1},
        {IPHONE, NULL, NULL, "\"Tablet\"", "tablet", "Tablet overrules a phone", 1},
        {DESKTOP, NULL, NULL, "\"Desktop\", \"Tablet\"", "tablet", "a list", 1},
        {DESKTOP, NULL, NULL, "\"EInk\"", "tablet", "form factor EInk", 1},
        {DESKTOP, NULL, NULL, "\"Automotive\"", "tablet", "form factor Automotive", 1},
        {DESKTOP, NULL, NULL, "\"EInk\", \"Watch\"", "mobile", "form factor Watch", 1},
        {IPHONE, NULL, NULL, "\"XR\"", "pc", "form factor XR", 1},
        {TABLET, "?0", "\"Android\"", "\"Desktop\"", "tablet", "Desktop says nothing", 0},
        {DESKTOP, "?1", NULL, "\"Desktop\"", "mobile", "Desktop says nothing to ?1", 1},
        {DESKTOP, NULL, NULL, "\"Tablet", "pc", "list with an open quote", 0},
        {DESKTOP, NULL, NULL, "\"Tablet\",", "pc", "list with a comma at its end", 0},
        {DESKTOP, NULL, NULL, "\"Tablet\" \"XR\"", "pc", "list without a comma", 0},
        {DESKTOP, NULL, NULL, "\"Ta\\blet\"", "pc", "list with an escape", 0},
        {BOT, "?1", NULL, "\"Watch\"", "pc", "a bot stays one", 0},
    };
    int by_hints;
    devcache_device_rules_t *rules = devcache_device_create(pool);
    devcache_device_use_hints(rules, 1);
    compiled(rules);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *got = hinted(rules, cases[i].agent, cases[i].mobile,
                                 cases[i].platform, cases[i].factors, &by_hints);
        is_str(got, cases[i].want, apr_pstrcat(pool, "hints: ", cases[i].name, NULL));
        ok(by_hints == cases[i].by_hints, "hints: %s: told", cases[i].name);
    }
    is_str(hinted(plain, DESKTOP, "?1", NULL, NULL, &by_hints), "pc",
           "hints: not read unless told to");
}

/* ---- own rules ---- */

static void test_rules(void)
{
    devcache_device_rules_t *rules = devcache_device_create(pool);
    is_str(devcache_device_add_rule(rules, "Kiosk", "(?i)kiosk"), NULL, "rule: added");
    devcache_device_add_rule(rules, "pc", "iPhone");
    devcache_device_add_rule(rules, "tablet", "Phone");
    devcache_device_add_rule(rules, "bot", "Fetch(me)?");
    compiled(rules);
    is_str(class(rules, "My KIOSK 1"), "kiosk", "rule: a new class, in lower case");
    is_str(classify(rules, "kiosk").rule, "(?i)kiosk", "rule: its pattern is told");
    is_str(class(rules, IPHONE), "pc",
           "rule: before the built-in ones, first match wins");
    is_str(class(rules, "iphone"), "mobile", "rule: case matters as written");
    is_str(class(rules, TABLET), "tablet", "rule: the built-in ones still hold");
    is_str(class(rules, TABLET " Fetchme"), "tablet", "rule: an own bot folds by agent");
    ok(devcache_device_known(rules, "kiosk"), "rule: the new class is known");
}

static void test_bad_rules(void)
{
    devcache_device_rules_t *rules = devcache_device_create(pool);
    is_str(devcache_device_add_rule(rules, "pc", "ab(cd"),
           "bad pattern 'ab(cd': at offset 5: missing closing parenthesis",
           "rule: a bad pattern with its offset");
    ok(devcache_device_add_rule(rules, "a b", "x") != NULL, "rule: bad class name");
    ok(devcache_device_add_rule(rules, "", "x") != NULL, "rule: empty class name");
    ok(devcache_device_add_rule(rules, "by-agent", "x") != NULL, "rule: reserved name");
    ok(devcache_device_add_rule(rules, "abcdefghijklmnopqrstuvwxyz0123456", "x") != NULL,
       "rule: class name of 33");
    is_str(devcache_device_add_rule(rules, "abcdefghijklmnopqrstuvwxyz012345", "x"), NULL,
           "rule: class name of 32");
    const char *error = NULL;
    for (int i = 0; i < 100 && !error; i++) {
        error = devcache_device_add_rule(rules, apr_psprintf(pool, "c%d", i), "y");
    }
    is_str(error, "'c57' is one class too many: at most 64", "rule: classes are bounded");
}

static void test_shadows(void)
{
    apr_array_header_t *warnings = apr_array_make(pool, 2, sizeof(const char *));
    devcache_device_rules_t *rules = devcache_device_create(pool);
    devcache_device_add_rule(rules, "pc", "Foo");
    devcache_device_add_rule(rules, "tablet", "Bar");
    devcache_device_add_rule(rules, "mobile", "Foo");
    devcache_device_add_rule(rules, "pc", ".*");
    devcache_device_add_rule(rules, "tv", "Baz");
    is_str(devcache_device_compile(rules, pool, warnings), NULL, "shadow: no error");
    if (is_int(warnings->nelts, 2, "shadow: two warnings")) {
        is_str(APR_ARRAY_IDX(warnings, 0, const char *),
               "rule 'mobile Foo' can never match: 'pc Foo' stands before it",
               "shadow: the same pattern");
        is_str(APR_ARRAY_IDX(warnings, 1, const char *),
               "rule 'tv Baz' can never match: 'pc .*' stands before it",
               "shadow: behind a catch-all");
    }
}

/* A pattern with exponential backtracking ends at the match limit, as no match. */
static void test_backtracking(void)
{
    devcache_device_rules_t *rules = devcache_device_create(pool);
    char agent[1000];
    memset(agent, 'a', sizeof(agent) - 1);
    agent[sizeof(agent) - 1] = '\0';
    devcache_device_add_rule(rules, "evil", "^(a+)+$|^(a|aa)+!$");
    devcache_device_add_rule(rules, "evil", "^(a|aa)+!$");
    devcache_device_add_rule(rules, "good", "^aaa");
    compiled(rules);
    agent[998] = 'b';
    clock_t start = clock();
    is_str(class(rules, agent), "good", "backtracking: an error is no match");
    printf("# backtracking: %.1f ms\n",
           (double)(clock() - start) * 1000.0 / CLOCKS_PER_SEC);
}

/* ---- hostile input ---- */

/* On the heap in exact size, so that the sanitizer sees a byte too many. Returns whether
   the answer is a class. */
static int classify_exact(const devcache_device_rules_t *rules, const char *s,
                          size_t size)
{
    char *copy = malloc(size + 1);
    memcpy(copy, s, size);
    copy[size] = '\0';
    devcache_device_input_t in = {copy, copy, copy, copy, copy};
    devcache_device_result_t out;
    devcache_device_classify(rules, &in, &out);
    free(copy);
    return devcache_device_known(rules, out.class);
}

static void test_hostile(void)
{
    static const char *const seeds[] = {IPHONE,
                                        TABLET,
                                        TELEVISION,
                                        PHONE_BOT,
                                        "Android",
                                        "Android;",
                                        "android ",
                                        "Android 1;",
                                        "Android 1; ; ;)",
                                        "view=",
                                        "view=pc;view",
                                        "\"a\",\"b",
                                        "AppleWebKit/",
                                        "AppleWebKit/537.36 (KHTML, like Gecko",
                                        "Adr 4",
                                        "Linux; Android 9; 55"};
    devcache_device_rules_t *rules = devcache_device_create(pool);
    devcache_device_use_hints(rules, 1);
    devcache_device_set_cookie(rules, "view");
    compiled(rules);
    int unknown = 0;
    for (unsigned i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
        for (size_t size = 0; size <= strlen(seeds[i]); size++) {
            unknown += !classify_exact(rules, seeds[i], size);
        }
    }
    is_int(unknown, 0, "hostile: every prefix of a list of strings gets a class");
    unsigned random = 1;
    for (int round = 0; round < 2000; round++) {
        char s[300];
        size_t size = (size_t)round % sizeof(s);
        for (size_t i = 0; i < size; i++) {
            random = random * 1103515245u + 12345u;
            s[i] = (char)(1 + (random >> 16) % 255);
        }
        unknown += !classify_exact(rules, s, size);
    }
    is_int(unknown, 0, "hostile: 2000 random strings get a class");
}

static void test_long(const devcache_device_rules_t *rules)
{
    size_t size = 100 * 1024;
    char *agent = malloc(size + 1);
    memset(agent, 'x', size);
    agent[size] = '\0';
    memcpy(agent + 990, "iPhone", 6);
    is_str(class(rules, agent), "mobile",
           "long: what stands in the first kilobyte counts");
    memset(agent, 'x', 1000);
    memcpy(agent + 2000, "iPhone", 6);
    ok(strcmp(class(rules, agent), "mobile") != 0, "long: what stands behind does not");
    free(agent);
    is_str(class(rules, NULL), "pc", "no User-Agent");
    is_str(class(rules, "Mozilla/5.0 \xff\xfe\x80 Android; \x01\x02"), "tablet",
           "binary");
}

/* ---- threads ---- */

typedef struct {
    const devcache_device_rules_t *rules;
    int wrong;
} thread_t;

static void *hammer(void *data)
{
    thread_t *t = data;
    for (int i = 0; i < 20000; i++) {
        devcache_device_input_t in = {i % 2 ? IPHONE : TABLET, NULL, NULL, NULL, NULL};
        devcache_device_result_t out;
        devcache_device_classify(t->rules, &in, &out);
        t->wrong += strcmp(out.class, i % 2 ? "mobile" : "tablet") != 0;
    }
    return NULL;
}

static void test_threads(const devcache_device_rules_t *rules)
{
    thread_t t[4];
    pthread_t ids[4];
    for (int i = 0; i < 4; i++) {
        t[i] = (thread_t){rules, 0};
        pthread_create(&ids[i], NULL, hammer, &t[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(ids[i], NULL);
    }
    is_int(t[0].wrong + t[1].wrong + t[2].wrong + t[3].wrong, 0,
           "threads: four share the rules");
}

/* ---- the automaton ---- */

static void test_automaton(void)
{
    static const devcache_automaton_word_t words[] = {
        {"mobile", 6}, {"automobile", 10}, {"bile", 4}, {"a-b", 3}, {"mobile", 6}};
    const devcache_automaton_t *a = devcache_automaton_build(pool, words, 5, 0);
    unsigned state = 0;
    for (const char *s = "AutoMobile"; *s; s++) {
        state = devcache_automaton_step(a, state, (unsigned char)*s);
    }
    unsigned mask = 0;
    for (unsigned w = a->word[state]; w != DEVCACHE_AUTOMATON_NONE; w = a->also[w]) {
        mask |= 1u << w;
    }
    is_int(a->word[state], 1, "automaton: the longest word first");
    is_int(mask, 0x17, "automaton: and all that end there");
    state = 0;
    for (const char *s = "xa_b"; *s; s++) {
        state = devcache_automaton_step(a, state, (unsigned char)*s);
    }
    is_int(a->word[state], 3, "automaton: '-' and '_' are one letter");

    static const unsigned char text[] = "my bile, an automobile, nothing";
    apr_size_t at = 0, size = sizeof(text) - 1;
    state = devcache_automaton_walk(a, 0, text, &at, size);
    is_int(a->word[state], 2, "automaton: a walk ends at the first word");
    is_int(at, 7, "automaton: behind it");
    state = devcache_automaton_walk(a, state, text, &at, size);
    is_int(a->word[state], 1, "automaton: and goes on to the next");
    is_int(at, 22, "automaton: behind that");
    state = devcache_automaton_walk(a, state, text, &at, size);
    is_int(a->word[state], DEVCACHE_AUTOMATON_NONE, "automaton: then there is none");
    is_int(at, size, "automaton: and the string is over");
    a = devcache_automaton_build(pool, words, 1, 1);
    is_int(devcache_automaton_step(a, 0, 'x'), 0, "automaton: anchored ends at once");
}

/* ---- accuracy over the shared corpora ---- */

typedef struct {
    int n, right;                    /* three classes */
    int label[3], hit[3], called[3]; /* pc, tablet, mobile */
    int kinds, kinds_right;          /* five kinds */
    int tv[3], bot[3];               /* labelled, hit, called */
    double weight, weight_right;
} score_t;

static const char *const three[3] = {"pc", "tablet", "mobile"};

static void count_kind(int c[3], const char *kind, const char *label, const char *got)
{
    c[0] += !strcmp(label, kind);
    c[1] += !strcmp(label, kind) && !strcmp(got, kind);
    c[2] += !strcmp(got, kind);
}

static void score_row(score_t *s, const devcache_device_result_t *r, const char *label,
                      const char *weight)
{
    const char *kind = strcmp(r->kind, "console") ? r->kind : "tv";
    s->kinds++;
    s->kinds_right += !strcmp(kind, label);
    count_kind(s->tv, "tv", label, kind);
    count_kind(s->bot, "bot", label, kind);
    for (int i = 0; i < 3; i++) {
        if (!strcmp(label, three[i])) {
            s->n++;
            s->label[i]++;
            s->right += !strcmp(r->class, label);
            s->hit[i] += !strcmp(r->class, label);
            for (int j = 0; j < 3; j++) {
                s->called[j] += !strcmp(r->class, three[j]);
            }
            s->weight += weight ? atof(weight) : 0;
            s->weight_right += weight && !strcmp(r->class, label) ? atof(weight) : 0;
        }
    }
}

/* Rows of a file, or with @a vintage only those of that year; with hints in -H form. */
static int score_file(const devcache_device_rules_t *rules, const char *folder,
                      const char *file, const char *vintage, int hints, score_t *s)
{
    char *line = NULL;
    size_t room = 0;
    FILE *f = fopen(apr_pstrcat(pool, folder, "/", file, NULL), "r");
    if (!f) {
        return 0;
    }
    while (read_line(f, &line, &room)) {
        char *field[6] = {line, NULL, NULL, NULL, NULL, NULL};
        for (int i = 1; i < 6 && field[i - 1] && (field[i] = strchr(field[i - 1], '\t'));
             i++) {
            *field[i]++ = '\0';
        }
        if (!strncmp(line, "#label", 6) || !field[1] ||
            (vintage && (!field[3] || strcmp(field[3], vintage) != 0))) {
            continue;
        }
        devcache_device_input_t in = {field[1], NULL, NULL, NULL, NULL};
        if (hints) {
            in.ch_mobile = field[2];
            in.ch_platform = field[3];
            in.ch_form_factors = field[4];
        }
        devcache_device_result_t out;
        devcache_device_classify(rules, &in, &out);
        score_row(s, &out, line, field[2]);
    }
    free(line);
    fclose(f);
    return 1;
}

static double part(int a, int b)
{
    return b ? (double)a / b : 0;
}

static void at_least(double got, double floor, const char *what)
{
    ok(got >= floor, "accuracy: %s: %.5f, floor %.5f", what, got, floor);
}

static void test_long_tail(const devcache_device_rules_t *rules, const char *folder)
{
    static const char *const files[] = {
        "matomo.tsv",        "whichbrowser.tsv", "yauaa.tsv",   "mobiledetect.tsv",
        "uapcore.tsv",       "varnish.tsv",      "woothee.tsv", "crawlerua.tsv",
        "crawlerdetect.tsv", "isbot.tsv"};
    score_t s;
    memset(&s, 0, sizeof(s));
    for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        ok(score_file(rules, folder, files[i], NULL, 0, &s), "accuracy: %s", files[i]);
    }
    double recall = 0;
    for (int i = 0; i < 3; i++) {
        recall += part(s.hit[i], s.label[i]) / 3;
    }
    at_least(part(s.right, s.n), 0.976, "three classes");
    at_least(recall, 0.970, "three classes, mean recall");
    at_least(part(s.hit[1], s.label[1]), 0.93, "tablet, recall");
    at_least(part(s.hit[1], s.called[1]), 0.96, "tablet, precision");
    at_least(part(s.kinds_right, s.kinds), 0.967, "five kinds");
    at_least(part(s.tv[1], s.tv[0]), 0.92, "tv, recall");
    at_least(part(s.tv[1], s.tv[2]), 0.98, "tv, precision");
    at_least(part(s.bot[1], s.bot[0]), 0.92, "bot, recall");
    at_least(part(s.bot[1], s.bot[2]), 0.98, "bot, precision");
}

static void test_popular(const devcache_device_rules_t *rules, const char *folder)
{
    static const char *const vintages[] = {"2018", "2022", "2024", "2026"};
    score_t all;
    memset(&all, 0, sizeof(all));
    for (int i = 0; i < 4; i++) {
        score_t s;
        memset(&s, 0, sizeof(s));
        score_file(rules, folder, "popular.tsv", vintages[i], 0, &s);
        at_least(s.weight ? s.weight_right / s.weight : 0, 0.9995,
                 apr_pstrcat(pool, "popular by weight, ", vintages[i], NULL));
        all.n += s.n;
        all.right += s.right;
        all.weight += s.weight;
        all.weight_right += s.weight_right;
    }
    at_least(all.weight ? all.weight_right / all.weight : 0, 0.9997, "popular by weight");
    at_least(part(all.right, all.n), 0.996, "popular, unweighted");
}

static void test_accuracy(const devcache_device_rules_t *rules)
{
    const char *shared = getenv("DEVCACHE_SHARED");
    const char *folder = apr_pstrcat(pool, shared ? shared : "../shared", "/ua", NULL);
    devcache_device_rules_t *hinting = devcache_device_create(pool);
    score_t s, without, with;
    memset(&s, 0, sizeof(s));
    memset(&without, 0, sizeof(without));
    memset(&with, 0, sizeof(with));
    if (!score_file(rules, folder, "notbot.tsv", NULL, 0, &s)) {
        printf("ok %d # skip accuracy: no corpora in %s\n", ++tap_run, folder);
        return;
    }
    ok(s.bot[2] <= 3, "accuracy: %d of %d browsers are called bots", s.bot[2], s.kinds);
    test_long_tail(rules, folder);
    test_popular(rules, folder);
    devcache_device_use_hints(hinting, 1);
    compiled(hinting);
    score_file(rules, folder, "hints.tsv", NULL, 0, &without);
    score_file(hinting, folder, "hints.tsv", NULL, 1, &with);
    ok(with.right >= without.right && with.n > 100,
       "accuracy: %d right with hints, %d without, of %d", with.right, without.right,
       with.n);
}

/* ---- what is remembered ---- */

static int is_remembered(const devcache_device_rules_t *rules,
                         const devcache_device_input_t *in)
{
    devcache_device_asked_t asked;
    devcache_device_result_t out;
    return devcache_device_memo_find(rules, in, &asked, &out);
}

/* Everything once more, with a memory: no answer may change. */
static void test_memo(const devcache_device_rules_t *rules)
{
    devcache_device_rules_t *others = compiled(devcache_device_create(pool));
    devcache_device_input_t in = {PHONE_BOT, NULL, NULL, NULL, NULL}, other;
    devcache_device_result_t out;
    char *longest = apr_palloc(pool, 1001);

    ok(!is_remembered(rules, &in), "memo: without one nothing is");
    devcache_device_memo_start();
    devcache_device_classify(rules, &in, &out);
    devcache_device_classify(rules, &in, &out);
    ok(is_remembered(rules, &in), "memo: what was asked for twice");
    ok(!is_remembered(others, &in), "memo: not what other rules have said");
    for (int field = 0; field < 3; field++) {
        other = in;
        *(field == 0   ? &other.ch_mobile
          : field == 1 ? &other.ch_platform
                       : &other.ch_form_factors) = "";
        ok(!is_remembered(rules, &other) && !is_remembered(rules, &other),
           "memo: an empty hint is another one than none");
    }
    other = in;
    other.user_agent = NULL;
    ok(!is_remembered(rules, &other) && !is_remembered(rules, &other),
       "memo: nor is no User-Agent the one that was asked for");
    memset(longest, 'x', 1000);
    longest[1000] = '\0';
    other.user_agent = longest;
    for (int i = 0; i < 3; i++) {
        devcache_device_classify(rules, &other, &out);
    }
    ok(!is_remembered(rules, &other), "memo: nor what has no room");
    for (int i = 0; i < 3; i++) {
        test_list(rules);
        test_default_folds(rules);
        test_own_folds();
        test_cookie(rules);
        test_hints(rules);
        test_rules();
        test_hostile();
        test_long(rules);
        test_threads(rules);
    }
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    devcache_device_rules_t *rules = compiled(devcache_device_create(pool));
    test_list(rules);
    test_default_folds(rules);
    test_own_folds();
    test_bad_folds();
    test_cookie(rules);
    test_hints(rules);
    test_rules();
    test_bad_rules();
    test_shadows();
    test_backtracking();
    test_hostile();
    test_long(rules);
    test_threads(rules);
    test_automaton();
    test_accuracy(rules);
    test_memo(rules);
    apr_pool_destroy(pool);
    apr_terminate();
    return done_testing();
}
