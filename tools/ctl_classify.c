/* SPDX-License-Identifier: Apache-2.0 */
/*
 * devcachectl classify: the device class of User-Agents, one a line, by the same code and
 * the same built-in rules as the module. It was a program of its own before, and keeps
 * that program's options, -k and -H among them, which mean something else elsewhere.
 *
 * Lines come from standard input and go to standard output through buffers of 64 KB; a
 * line's memory is reused, so the input may have any length.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "../device/device.h"

#define BUFFER 65536

const char ctl_classify_help[] =
    "usage: devcachectl classify [-k] [-x] [-H] < user-agents\n"
    "Reads one User-Agent a line and prints its device class a line: pc, tablet, "
    "mobile.\n"
    "  -k  print the kind before folding: pc, tablet, mobile, tv or bot (a game console\n"
    "      is a tv)\n"
    "  -x  add a tab and the rule that decided\n"
    "  -H  each line is User-Agent, Sec-CH-UA-Mobile, Sec-CH-UA-Platform and\n"
    "      Sec-CH-UA-Form-Factors with tabs between; missing ones are absent\n"
    "  -h, --help  print this\n"
    "Only the built-in rules are used; DevCacheDeviceRule in httpd's configuration is "
    "not "
    "read.\n";

typedef struct {
    int kinds;
    int explain;
    int hints;
} options_t;

/* Cuts "a\tb\tc" and returns what stands behind the tab, NULL at the end. */
static char *cut_field(char *s)
{
    char *tab = s ? strchr(s, '\t') : NULL;
    if (tab) {
        *tab++ = '\0';
    }
    return tab;
}

static void read_fields(char *line, int hints, devcache_device_input_t *in)
{
    memset(in, 0, sizeof(*in));
    in->user_agent = line;
    if (hints) {
        char *mobile = cut_field(line);
        char *platform = cut_field(mobile);
        char *form_factors = cut_field(platform);
        cut_field(form_factors);
        in->ch_mobile = mobile;
        in->ch_platform = platform;
        in->ch_form_factors = form_factors;
    }
}

static void print(const devcache_device_result_t *r, const options_t *o)
{
    const char *word = r->class;
    if (o->kinds) {
        word = strcmp(r->kind, "console") ? r->kind : "tv";
    }
    fputs(word, stdout);
    if (o->explain) {
        putchar('\t');
        fputs(r->rule, stdout);
    }
    putchar('\n');
}

static int classify_lines(const devcache_device_rules_t *rules, const options_t *o)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    while ((size = getline(&line, &room, stdin)) >= 0) {
        devcache_device_input_t in;
        devcache_device_result_t result;
        while (size && (line[size - 1] == '\n' || line[size - 1] == '\r')) {
            line[--size] = '\0';
        }
        read_fields(line, o->hints, &in);
        devcache_device_classify(rules, &in, &result);
        print(&result, o);
    }
    free(line);
    if (ferror(stdin)) {
        fprintf(stderr, "devcachectl classify: cannot read standard input: %s\n",
                strerror(errno));
        return 1;
    }
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "devcachectl classify: cannot write the answers: %s\n",
                strerror(errno));
        return 1;
    }
    return 0;
}

/* Returns -1 to go on, otherwise the exit status. */
static int parse_options(int argc, char *const *argv, options_t *o)
{
    int c;
    if (argc > 1 && !strcmp(argv[1], "--help")) {
        fputs(ctl_classify_help, stdout);
        return 0;
    }
    while ((c = getopt(argc, argv, "kxHh")) != -1) {
        switch (c) {
        case 'k':
            o->kinds = 1;
            break;
        case 'x':
            o->explain = 1;
            break;
        case 'H':
            o->hints = 1;
            break;
        case 'h':
            fputs(ctl_classify_help, stdout);
            return 0;
        default:
            fputs("Try 'devcachectl classify --help'.\n", stderr);
            return 2;
        }
    }
    if (optind < argc) {
        fprintf(
            stderr,
            "devcachectl classify: '%s' is one argument too many: User-Agents are read "
            "from standard input, one a line.\nTry 'devcachectl classify --help'.\n",
            argv[optind]);
        return 2;
    }
    return -1;
}

int ctl_classify(ctl_t *c)
{
    options_t o = {0, 0, 0};
    int status = parse_options(c->argc, c->argv, &o);
    if (status >= 0) {
        return status;
    }
    setvbuf(stdin, NULL, _IOFBF, BUFFER);
    setvbuf(stdout, NULL, _IOFBF, BUFFER);
    devcache_device_rules_t *rules = devcache_device_create(c->pool);
    devcache_device_use_hints(rules, o.hints);
    const char *error = devcache_device_compile(rules, c->pool, NULL);
    if (error) {
        return ctl_fail(c, "%s", error);
    }
    return classify_lines(rules, &o);
}
