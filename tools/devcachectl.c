/* SPDX-License-Identifier: Apache-2.0 */
/*
 * devcachectl: look at a cache, and work it.
 *
 * A verb is a row of the table below: its options, its arguments, its help and the
 * function that does it. An option that a verb does not know is refused, whatever other
 * verbs do with it. One verb, classify, was a program of its own and reads its options
 * itself; a link of that program's name, devcache-classify, is this verb.
 */
#include "ctl.h"

#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "base/version.h"

#define DEFAULT_ROOT "/var/cache/apache2/devcache"
#define DEFAULT_URL "http://127.0.0.1/devcache-status"

typedef struct verb_t {
    const char *name;
    const char *options; /* letters of what it takes, besides -j and -h; NULL: its own */
    int min, max;        /* arguments */
    int needs_root;      /* else --root is optional */
    int (*run)(ctl_t *c);
    const char *synopsis;
    const char *help;
} verb_t;

static const struct option options[] = {
    {"help", no_argument, NULL, 'h'},
    {"json", no_argument, NULL, 'j'},
    {"root", required_argument, NULL, 'r'},
    {"url", required_argument, NULL, 'u'},
    {"user-agent", required_argument, NULL, 'A'},
    {"header", required_argument, NULL, 'H'},
    {"address", required_argument, NULL, 'a'},
    {"once", no_argument, NULL, '1'},
    {"interval", required_argument, NULL, 'i'},
    {"tag", required_argument, NULL, 't'},
    {"prefix", required_argument, NULL, 'p'},
    {"soft", no_argument, NULL, 's'},
    {"refill", no_argument, NULL, 'F'},
    {"device", required_argument, NULL, 'd'},
    {"connect", required_argument, NULL, 'C'},
    {"file", required_argument, NULL, 'f'},
    {"sitemap", required_argument, NULL, 'S'},
    {"rate", required_argument, NULL, 'R'},
    {"concurrency", required_argument, NULL, 'c'},
    {"insecure", no_argument, NULL, 'k'},
    {"wait", required_argument, NULL, 'w'},
    {NULL, 0, NULL, 0},
};

/* One line each, in the order of the table above. */
static const struct {
    int letter;
    const char *text;
} option_help[] = {
    {'r',
     "  -r, --root DIR   the cache's directory (DevCacheRoot); DEVCACHE_ROOT in the\n"
     "                   environment, else " DEFAULT_ROOT "\n"},
    {'u', "  -u, --url URL    the server's status page; DEVCACHE_STATUS_URL in the\n"
          "                   environment, else " DEFAULT_URL "\n"},
    {'A', "  -A, --user-agent TEXT   the request's User-Agent\n"},
    {'H',
     "  -H, --header 'NAME: VALUE'   another header of the request; may be repeated\n"},
    {'a',
     "  -a, --address IP   the address of the server that the request comes to, where\n"
     "                   virtual hosts have different ones\n"},
    {'1', "  -1, --once       one page, also on a terminal\n"},
    {'i', "  -i, --interval SECONDS   between two pages; 1\n"},
    {'t', "  -t, --tag TAG    what bears this tag, whatever its URL; may be repeated\n"},
    {'p', "  -p, --prefix URL   what begins so\n"},
    {'s', "  -s, --soft       not removed, but stale from now on\n"},
    {'F', "  -F, --refill     the server fetches again what goes, for each class\n"},
    {'d', "  -d, --device CLASS   only what this class of devices is given\n"},
    {'w', "  -w, --wait SECONDS   until all machines have carried it out; 25 at most\n"},
    {'C', "  -C, --connect HOST:PORT   send the requests there, whatever the URLs say\n"},
    {'f',
     "  -f, --file FILE  URLs, one a line; empty lines and those with # do not count;\n"
     "                   - is standard input\n"},
    {'S',
     "  -S, --sitemap URL   a sitemap, or an index of sitemaps, gzipped or not; only\n"
     "                   what is at its host is asked for\n"},
    {'R', "  -R, --rate N     requests a second at the most; 10\n"},
    {'c', "  -c, --concurrency N   requests at once; 4\n"},
    {'k', "  -k, --insecure   take any certificate of an https server\n"},
    {'j', "  -j, --json       print JSON\n"},
    {'h', "  -h, --help       print this\n"},
};

static const verb_t verbs[] = {
    {"stats", "ruk", 0, 0, 0, ctl_stats, "[--url URL | --root DIR]",
     "Prints the counters of a running server, or what the index in a directory has of\n"
     "them: those whose names begin with store_.\n"},
    {"ready", "uk", 0, 0, 0, ctl_ready, "[--url URL]",
     "Asks the server whether its cache can be read and written, as probes and load\n"
     "balancers do, and prints the answer. Ends with 1 if it cannot.\n"},
    {"ls", "r", 0, 1, 1, ctl_ls, "[HOST | PREFIX]",
     "Lists what is stored, one variant a line: device class, status, bytes of the "
     "body,\n"
     "age, time it is still fresh for (negative: stale since) and URL. PREFIX is "
     "compared\n"
     "with the URL as it is printed; without a scheme, HOST or HOST/PATH, it is "
     "compared\n"
     "with what follows the scheme, whatever the port.\n"},
    {"show", "r", 1, 1, 1, ctl_show, "URL",
     "Shows every stored variant of a URL with its times and its stored headers. Ends\n"
     "with 1 if there is none.\n"},
    {"verify", "r", 0, 0, 1, ctl_verify, "",
     "Reads every record and verifies its checksums, those of bodies too (a body in a\n"
     "file of its own has none: that its file is whole and the right one is verified).\n"
     "Ends with 1 if something is damaged. A server that uses the directory is not\n"
     "disturbed: it meets damage by itself when it reads the object, forgets that and\n"
     "asks the origin.\n"},
    {"top", "ru1ik", 0, 0, 0, ctl_top, "[--url URL | --root DIR]",
     "Shows requests, hits, latencies, what is stored and the busiest URLs, again and\n"
     "again; q or Ctrl-C ends it. Where standard output is no terminal, and with "
     "--once,\n"
     "one page is printed after one interval. From a directory, what the index "
     "counts.\n"},
    {"explain", "uAHak", 1, 1, 0, ctl_explain, "URL",
     "Asks the server what it would do with a GET of the URL, and why: the device class\n"
     "and the rule that gave it, the key, what is stored for such a request, until when\n"
     "it is fresh and who says so, and the directives that hold there, with file and\n"
     "line. The origin is not asked and nothing is changed. The scheme and port of the\n"
     "URL are those by which the visitor's request reaches this server.\n"},
    {"nodes", "uk", 0, 0, 0, ctl_nodes, "[--url URL]",
     "Shows the machines that share purges by DevCacheTier, and the servers by which\n"
     "they do. Ends with 1 if a server is away, or a machine that is there has not\n"
     "carried out all purges of this one yet.\n"},
    {"purge", "uHtpsFdCkw", 0, 1, 0, ctl_purge, "URL | --prefix URL | --tag TAG... [URL]",
     "Sends a PURGE, which DevCachePurge allows: for a URL, for all that begins like "
     "it,\n"
     "or for all that bears a tag, and prints how many responses went. By tag the "
     "request\n"
     "goes to URL, else to the server of the status page.\n"},
    {"classify", NULL, 0, 0, 0, ctl_classify, "[-k] [-x] [-H] < USER-AGENTS",
     ctl_classify_help},
    {"warm", "HCfSRck", 0, INT_MAX, 0, ctl_warm, "URL... | -f FILE | --sitemap URL",
     "Asks for each URL, of the command line, a list or a sitemap, as a desktop, a "
     "tablet and a "
     "phone would, at a "
     "bounded\n"
     "rate, so that the cache has them, and prints how that went: by Cache-Status where\n"
     "DevCacheStatusHeader is On, else by Age. Ends with 1 if a request got no answer "
     "or\n"
     "one of status 5xx.\n"},
    {"migrate", "", 1, 1, 0, ctl_migrate, "FILE",
     "Reads a configuration of mod_cache, or of the recipe by SetEnvIf, RequestHeader "
     "and\n"
     "Vary, and prints the lines that replace it, those that go, and those that "
     "somebody\n"
     "has to look at. Changes nothing. Ends with 1 if there is nothing of that in "
     "FILE.\n"},
};

#define VERBS (sizeof(verbs) / sizeof(*verbs))

static void general_help(FILE *to)
{
    apr_size_t i;

    fputs("usage: devcachectl VERB [options] [arguments]\n"
          "Looks at a cache of mod_devcache, and works it.\n\n",
          to);
    for (i = 0; i < VERBS; i++) {
        fprintf(to, "  devcachectl %s %s\n", verbs[i].name, verbs[i].synopsis);
    }
    fputs("\n'devcachectl help VERB' tells more. Ends with 0, with 1 if something is "
          "damaged or\ncould not be done, with 2 if the command line or what it names is "
          "wrong.\n",
          to);
}

static void verb_help(const verb_t *v)
{
    apr_size_t i;

    if (!v->options) {
        fputs(v->help, stdout);
        return;
    }
    printf("usage: devcachectl %s [options] %s\n%s\n", v->name, v->synopsis, v->help);
    for (i = 0; i < sizeof(option_help) / sizeof(*option_help); i++) {
        int letter = option_help[i].letter;

        if (strchr("jh", letter) || strchr(v->options, letter)) {
            fputs(option_help[i].text, stdout);
        }
    }
}

static const verb_t *find_verb(const char *name)
{
    apr_size_t i;

    for (i = 0; i < VERBS; i++) {
        if (!strcmp(verbs[i].name, name)) {
            return &verbs[i];
        }
    }
    return NULL;
}

static int no_verb(const char *name)
{
    fprintf(stderr, "devcachectl: there is no verb '%s'; try 'devcachectl --help'\n",
            name);
    return CTL_WRONG;
}

/* A number within bounds, or a sentence about it. */
static int take_number(ctl_t *c, double *to, double min, double max)
{
    char *end;
    double n = strtod(optarg, &end);

    if (end == optarg || *end || !(n >= min && n <= max)) {
        ctl_wrong(c, "'%s' is not a number from %g to %g", optarg, min, max);
        return 0;
    }
    *to = n;
    return 1;
}

/* "HOST:PORT", as libcurl wants it. */
static int take_connect(ctl_t *c)
{
    const char *colon = strrchr(optarg, ':');

    if (!colon || colon == optarg || !colon[1] ||
        colon[1 + strspn(colon + 1, "0123456789")]) {
        ctl_wrong(c, "'%s' is not HOST:PORT", optarg);
        return 0;
    }
    c->connect = curl_slist_append(NULL, apr_pstrcat(c->pool, "::", optarg, NULL));
    return 1;
}

/* @return 0 if its value is wrong */
static int store_option(ctl_t *c, int letter)
{
    double n = 0;
    int fine = 1;

    switch (letter) {
    case 'i':
        return take_number(c, &c->interval, 0.1, 3600);
    case 'S':
        c->sitemap = optarg;
        return 1;
    case 'R':
        return take_number(c, &c->rate, 0.01, 100000);
    case 'c':
        fine = take_number(c, &n, 1, 1000);
        c->concurrency = (long)n;
        return fine;
    case 'C':
        return take_connect(c);
    case 'H':
        APR_ARRAY_PUSH(c->headers, const char *) = optarg;
        return 1;
    case 't':
        APR_ARRAY_PUSH(c->tags, const char *) = optarg;
        return 1;
    case 'w':
        return take_number(c, &c->wait, 0, 25);
    case '1':
        c->once = 1;
        return 1;
    case 's':
        c->soft = 1;
        return 1;
    case 'F':
        c->refill = 1;
        return 1;
    case 'k':
        c->insecure = 1;
        return 1;
    default:
        *(letter == 'r'   ? &c->root
          : letter == 'u' ? &c->url
          : letter == 'A' ? &c->agent
          : letter == 'a' ? &c->address
          : letter == 'p' ? &c->prefix
          : letter == 'd' ? &c->device
                          : &c->file) = optarg;
        return 1;
    }
}

/* Do as the option says. @return -1 to go on, else the exit code */
static int take_option(ctl_t *c, const verb_t *v, int letter, const char *word)
{
    if (letter == '?' || letter == ':') {
        return ctl_wrong(c,
                         letter == ':' ? "the option %s needs a value"
                                       : "there is no option %s; try --help",
                         word);
    }
    if (letter == 'h') {
        verb_help(v);
        return CTL_OK;
    }
    if (letter == 'j') {
        c->json = 1;
        return -1;
    }
    if (!strchr(v->options, letter)) {
        return ctl_wrong(c, "%s is not an option of this verb; try --help", word);
    }
    return store_option(c, letter) ? -1 : CTL_WRONG;
}

static int parse(ctl_t *c, const verb_t *v, int argc, char **argv)
{
    int letter, rv;

    opterr = 0;
    optind = 1;
    for (;;) {
        const char *word;

        letter = getopt_long(argc, argv, ":hjr:u:A:H:a:1i:t:p:sFd:C:f:S:R:c:kw:", options,
                             NULL);
        if (letter == -1) {
            break;
        }
        word = argv[optind > 1 ? optind - 1 : 1]; /* getopt has moved arguments behind */
        /* A mere letter in a bundle is named by itself. */
        if (letter == '?' && optopt && word[0] == '-' && word[1] != '-') {
            word = apr_psprintf(c->pool, "-%c", optopt);
        }
        if ((rv = take_option(c, v, letter, word)) >= 0) {
            return rv;
        }
    }
    c->argc = argc - optind;
    c->argv = argv + optind;
    if (c->argc < v->min || c->argc > v->max) {
        return ctl_wrong(c, "there is %s; usage: devcachectl %s %s",
                         c->argc < v->min ? "one argument too few"
                                          : "one argument too many",
                         v->name, v->synopsis);
    }
    return -1;
}

static void set_defaults(ctl_t *c, const verb_t *v)
{
    const char *root = getenv("DEVCACHE_ROOT");
    const char *url = getenv("DEVCACHE_STATUS_URL");

    if (!c->root && v->needs_root) {
        c->root = root && *root ? root : DEFAULT_ROOT;
    }
    if (!c->url) {
        c->url = url && *url ? url : DEFAULT_URL;
    }
}

static int run(ctl_t *c, const verb_t *v, int argc, char **argv)
{
    int rv;

    if (!v->options) {
        c->argc = argc;
        c->argv = argv;
    } else if ((rv = parse(c, v, argc, argv)) >= 0) {
        return rv;
    }
    set_defaults(c, v);
    rv = v->run(c);
    if ((fflush(stdout) || ferror(stdout)) && rv == CTL_OK) {
        rv = ctl_fail(c, "cannot write the answer");
    }
    return rv;
}

/* Called by a link of the name that this verb had as a program? */
static int is_classify(const char *path)
{
    const char *slash = strrchr(path, '/');

    return !strcmp(slash ? slash + 1 : path, "devcache-classify");
}

int main(int argc, char **argv)
{
    ctl_t c = {0};
    const verb_t *v;
    const char *name;
    int rv, skip = !is_classify(argv[0]); /* words before the verb */

    if (argc < 1 + skip) {
        general_help(stderr);
        return CTL_WRONG;
    }
    name = skip ? argv[1] : "classify";
    if (!strcmp(name, "--help") || !strcmp(name, "-h")) {
        general_help(stdout);
        return CTL_OK;
    }
    if (!strcmp(name, "--version") || !strcmp(name, "-V")) {
        puts("devcachectl " DEVCACHE_VERSION);
        return CTL_OK;
    }
    if (!strcmp(name, "help")) { /* "help VERB" is "VERB --help" */
        v = argc == 3 ? find_verb(argv[2]) : NULL;
        if (argc > 2 && !v) {
            return no_verb(argv[argc - 1]);
        }
        v ? verb_help(v) : general_help(stdout);
        return CTL_OK;
    }
    v = find_verb(name);
    if (!v) {
        return no_verb(name);
    }
    if (apr_initialize() != APR_SUCCESS ||
        apr_pool_create(&c.pool, NULL) != APR_SUCCESS) {
        fputs("devcachectl: APR does not start; is there memory left?\n", stderr);
        return CTL_FAILED;
    }
    c.verb = v->name;
    c.headers = apr_array_make(c.pool, 4, sizeof(const char *));
    c.tags = apr_array_make(c.pool, 4, sizeof(const char *));
    c.interval = 1;
    c.wait = -1;
    c.rate = 10;
    c.concurrency = 4;
    rv = run(&c, v, argc - skip, argv + skip);
    curl_slist_free_all(c.connect);
    apr_terminate();
    return rv;
}
