/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-devices: nanoseconds per User-Agent, over the corpora of a folder (default
 * ../shared/ua, or DEVCACHE_SHARED/ua, or the first argument).
 *
 * Columns: the classifier, and, for comparison, the two regexes of the recipe that people
 * copy into their configuration, by PCRE2 without and with JIT. Each is the best of several passes over all strings of
 * the file, so that a neighbour on the machine costs a pass and not the figure.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <apr_tables.h>

#include "../device/device.h"

#define PASSES 15
#define STRINGS_MAX 4000 /* of one file: more says nothing more */

static const char *const popular[] = {"popular.tsv"};
static const char *const tail[] = {"yauaa.tsv", "whichbrowser.tsv", "mobiledetect.tsv"};
static const char *const bots[] = {"crawlerua.tsv", "crawlerdetect.tsv"};

static const char *const recipe[] = {
    "(?i)(ipad|tablet|kindle|silk|playbook|nexus 7|android(?!.*mobile))",
    "(?i)(iphone|ipod|android.*mobile|windows phone|blackberry|opera mini|mobile)",
};

typedef struct {
    const devcache_device_rules_t *rules;
    pcre2_code *code[2];
    pcre2_match_data *data;
} bench_t;

typedef void run_fn(const bench_t *b, const char *agent);

static volatile unsigned sink; /* keeps the results alive */

static void run_classifier(const bench_t *b, const char *agent)
{
    devcache_device_input_t in = {agent, NULL, NULL, NULL, NULL};
    devcache_device_result_t out;
    devcache_device_classify(b->rules, &in, &out);
    sink += (unsigned char)out.class[0];
}

static void run_recipe(const bench_t *b, const char *agent)
{
    size_t size = strlen(agent);
    for (int i = 0; i < 2; i++) {
        int rc = pcre2_match(b->code[i], (PCRE2_SPTR)agent, size, 0, 0, b->data, NULL);
        sink += (unsigned)(rc > 0);
    }
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Best pass, in nanoseconds a string. */
static double measure(const bench_t *b, run_fn *run, const apr_array_header_t *agents)
{
    double best = 1e9;
    for (int pass = 0; pass < PASSES; pass++) {
        double start = seconds();
        for (int i = 0; i < agents->nelts; i++) {
            run(b, APR_ARRAY_IDX(agents, i, const char *));
        }
        double spent = (seconds() - start) * 1e9 / agents->nelts;
        best = spent < best ? spent : best;
    }
    return best;
}

static void read_agents(const char *path, apr_array_header_t *agents)
{
    char *line = NULL;
    size_t room = 0;
    FILE *f = fopen(path, "r");
    if (!f) {
        return;
    }
    for (int n = 0; n < STRINGS_MAX && getline(&line, &room, f) >= 0; n++) {
        char *agent = strchr(line, '\t');
        if (line[0] != '#' && agent) {
            agent++;
            APR_ARRAY_PUSH(agents, const char *) = apr_pstrmemdup(agents->pool, agent,
                                                                  strcspn(agent, "\t\n"));
        }
    }
    free(line);
    fclose(f);
}

static pcre2_code *compile(const char *pattern, int jit)
{
    int error;
    PCRE2_SIZE offset;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, 0,
                                     &error, &offset, NULL);
    if (!code) {
        fprintf(stderr, "bench-devices: '%s' does not compile\n", pattern);
        exit(1);
    }
    if (jit) {
        pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    }
    return code;
}

static void print_row(bench_t *b, const char *name, const char *folder,
                      const char *const *files, int n, apr_pool_t *pool)
{
    apr_array_header_t *agents = apr_array_make(pool, 4096, sizeof(const char *));
    double ns[3];
    for (int i = 0; i < n; i++) {
        read_agents(apr_pstrcat(pool, folder, "/", files[i], NULL), agents);
    }
    if (!agents->nelts) {
        printf("%-10s no strings in %s\n", name, folder);
        return;
    }
    ns[0] = measure(b, run_classifier, agents);
    for (int jit = 0; jit < 2; jit++) {
        b->code[0] = compile(recipe[0], jit);
        b->code[1] = compile(recipe[1], jit);
        ns[1 + jit] = measure(b, run_recipe, agents);
        pcre2_code_free(b->code[0]);
        pcre2_code_free(b->code[1]);
    }
    printf("%-10s %7d %10.0f %12.0f %12.0f\n", name, agents->nelts, ns[0], ns[1], ns[2]);
}

int main(int argc, char **argv)
{
    apr_pool_t *pool;
    bench_t b = {NULL, {NULL, NULL}, pcre2_match_data_create(4, NULL)};
    apr_initialize();
    apr_pool_create(&pool, NULL);
    const char *shared = getenv("DEVCACHE_SHARED");
    const char *folder = argc > 1 ? argv[1]
                                  : apr_pstrcat(pool, shared ? shared : "../shared",
                                                "/ua", NULL);
    devcache_device_rules_t *rules = devcache_device_create(pool);
    double start = seconds();
    devcache_device_compile(rules, pool, NULL);
    printf("rules built in %.1f ms\n", (seconds() - start) * 1e3);
    b.rules = rules;
    printf("ns/string  strings classifier recipe/PCRE2   recipe/JIT\n");
    print_row(&b, "popular", folder, popular, 1, pool);
    print_row(&b, "long tail", folder, tail, 3, pool);
    print_row(&b, "bots", folder, bots, 2, pool);
    pcre2_match_data_free(b.data);
    apr_terminate();
    return 0;
}
