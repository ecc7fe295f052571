/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nodes: the machines that share purges, and the servers by which they do, as the status
 * page of one of them has them.
 */
#include "ctl.h"

#include <apr_strings.h>

static void print_text(const json_t *of, const char *name, int width)
{
    const char *text = json_string_value(json_object_get(of, name));
    apr_size_t len = text ? strlen(text) : 0;

    ctl_print_str(stdout, text ? text : "?");
    printf("%*s", len < (apr_size_t)width ? width - (int)len : 1, "");
}

static long long number(const json_t *of, const char *name)
{
    return (long long)json_integer_value(json_object_get(of, name));
}

static void print_node(ctl_t *c, const json_t *node)
{
    double seen = json_real_value(json_object_get(node, "seen_seconds"));
    int this = json_is_true(json_object_get(node, "this"));

    print_text(node, "name", 28);
    printf("%-10s %-12s %8lld  %s\n",
           json_is_true(json_object_get(node, "alive")) ? "there" : "away",
           this ? "this one" : ctl_duration((apr_int64_t)seen, c->pool),
           number(node, "outbox"),
           this ? ""
           : json_is_true(json_object_get(node, "has_all_of_ours"))
               ? "has applied all of ours"
               : "lacks some of ours");
}

static void print_server(const json_t *server)
{
    const char *trouble = json_string_value(json_object_get(server, "trouble"));
    const char *objects = json_string_value(json_object_get(server, "objects_trouble"));
    int objects_only = (!trouble || !*trouble) && objects && *objects;

    print_text(server, "url", 28);
    printf("%-10s %12lld %8lld  ", number(server, "reachable") ? "works" : "away",
           number(server, "entries"), number(server, "waiting_bytes"));
    fputs(objects_only ? "objects: " : "", stdout);
    ctl_print_str(stdout, objects_only ? objects : trouble ? trouble : "");
    putchar('\n');
}

static void print_root(ctl_t *c, const json_t *root)
{
    const json_t *nodes = json_object_get(root, "machines");
    const json_t *servers = json_object_get(root, "servers");
    size_t i;

    print_text(root, "name", 0);
    printf("in ");
    print_text(root, "root", 0);
    printf("\n%-28s%-10s %-12s %8s\n", "MACHINE", "IS", "HEARD OF", "NOT SENT");
    for (i = 0; i < json_array_size(nodes); i++) {
        print_node(c, json_array_get(nodes, i));
    }
    printf("%-28s%-10s %12s %8s  %s\n", "SERVER", "", "PURGES READ", "WAITING",
           "TROUBLE");
    for (i = 0; i < json_array_size(servers); i++) {
        print_server(json_array_get(servers, i));
    }
}

/* Is there a machine or a server that is away, or behind? */
static int is_whole(const json_t *root)
{
    const json_t *nodes = json_object_get(root, "machines");
    const json_t *servers = json_object_get(root, "servers");
    int whole = number(root, "led") == 1;
    size_t i;

    for (i = 0; i < json_array_size(nodes); i++) {
        const json_t *n = json_array_get(nodes, i);

        whole &= !json_is_true(json_object_get(n, "alive")) ||
                 json_is_true(json_object_get(n, "has_all_of_ours"));
    }
    for (i = 0; i < json_array_size(servers); i++) {
        whole &= number(json_array_get(servers, i), "reachable") == 1;
    }
    return whole;
}

int ctl_nodes(ctl_t *c)
{
    ctl_answer_t answer;
    const char *error = ctl_ask_status(c, "?json", &answer);
    const json_t *roots;
    json_t *all;
    int rv = CTL_OK;
    size_t i;

    if (error) {
        return ctl_fail(c, "%s", error);
    }
    all = json_loadb(answer.body, answer.len, 0, NULL);
    roots = json_object_get(all, "machines");
    if (!json_is_array(roots)) {
        rv = ctl_fail(c, CTL_NO_STATUS, c->url, answer.status);
    } else if (json_array_size(roots) == 0) {
        rv = ctl_fail(c, "%s: there is no DevCacheTier", c->url);
    } else if (c->json) {
        ctl_print_json(roots);
    }
    for (i = 0; rv != CTL_FAILED && i < json_array_size(roots) && !c->json; i++) {
        print_root(c, json_array_get(roots, i));
    }
    for (i = 0; rv == CTL_OK && i < json_array_size(roots); i++) {
        rv = is_whole(json_array_get(roots, i)) ? CTL_OK : CTL_FAILED;
    }
    json_decref(all);
    return rv;
}
