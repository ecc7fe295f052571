/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several machines, without any: URLs of servers, messages, orders, the outbox and the
 * state, and what is left of them after processes have died.
 */
#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "purge/ban.h"
#include "tap.h"
#include "tier/outbox.h"
#include "tier/tier.h"

static apr_pool_t *pool;

/* ---- URLs ------------------------------------------------------------------------ */

static void test_urls(void)
{
    static const struct {
        const char *text, *host, *path, *user;
        int port, database, is_tls, is_local;
    } fine[] = {
        {"redis://h", "h", NULL, NULL, 6379, 0, 0, 0},
        {"redis://h/", "h", NULL, NULL, 6379, 0, 0, 0},
        {"redis://h:1/7", "h", NULL, NULL, 1, 7, 0, 0},
        {"redis://u@h:65535", "h", NULL, "u", 65535, 0, 0, 0},
        {"redis://[::1]", "::1", NULL, NULL, 6379, 0, 0, 1},
        {"redis://u@[2001:db8::1]:7000/2", "2001:db8::1", NULL, "u", 7000, 2, 0, 0},
        {"rediss://u@h:1/7", "h", NULL, "u", 1, 7, 1, 0},
        {"rediss://localhost", "localhost", NULL, NULL, 6379, 0, 1, 1},
        {"redis://127.9.9.9", "127.9.9.9", NULL, NULL, 6379, 0, 0, 1},
        {"redis://127.0.0.1.example.org", "127.0.0.1.example.org", NULL, NULL, 6379, 0, 0,
         0},
        {"redis://128.0.0.1", "128.0.0.1", NULL, NULL, 6379, 0, 0, 0},
        {"unix:/run/redis.sock", NULL, "/run/redis.sock", NULL, 6379, 0, 0, 1},
    };
    static const char *const wrong[] = {
        "",
        "h",
        "http://h",
        "redis:/h",
        "redis://",
        "redis://:1",
        "redis://h:",
        "redis://h:0",
        "redis://h:x",
        "redis://h:65536",
        "redis://h/x",
        "redis://h/-1",
        "redis://[::1",
        "redis://[::1]x",
        "redis://u:p@h",
        "rediss:h",
        "rediss://",
        "unix:h",
    };
    devcache_url_t url;
    apr_size_t i;

    for (i = 0; i < sizeof(fine) / sizeof(*fine); i++) {
        const char *error = devcache_url_parse(fine[i].text, &url, pool);

        is_str(error ? error : "fine", "fine", fine[i].text);
        is_str(url.host ? url.host : "-", fine[i].host ? fine[i].host : "-", "its host");
        is_str(url.path ? url.path : "-", fine[i].path ? fine[i].path : "-", "its path");
        is_str(url.user ? url.user : "-", fine[i].user ? fine[i].user : "-", "its user");
        is_int(url.port, fine[i].port, "its port");
        is_int(url.database, fine[i].database, "its database");
        is_int(url.is_tls, fine[i].is_tls, "TLS or not");
        is_int(devcache_url_is_local(&url), fine[i].is_local, "near or far");
    }
    for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        ok(devcache_url_parse(wrong[i], &url, pool) != NULL, "'%s' is refused", wrong[i]);
    }
}

/* ---- keys ------------------------------------------------------------------------------ */

static devcache_tier_key_t key_of(const char *secret, const char *name)
{
    devcache_tier_key_t key = {devcache_slice_str(secret), name};

    return key;
}

static void test_signatures(void)
{
    devcache_tier_key_t ours = key_of("0123456789abcdef", "shop");
    devcache_tier_key_t others = key_of("0123456789abcdeX", "shop");
    devcache_tier_key_t elsewhere = key_of("0123456789abcdef", "sho");
    devcache_tier_key_t none = key_of(NULL, "shop");
    const devcache_slice_t parts[] = {{"O", 1}, {"ab", 2}, {"c", 1}};
    const devcache_slice_t moved[] = {{"O", 1}, {"a", 1}, {"bc", 2}};
    const devcache_slice_t empty[] = {{"O", 1}, {"ab", 2}, {"c", 1}, {NULL, 0}};
    unsigned char a[DEVCACHE_TIER_SIGNATURE];

    ok(devcache_tier_key_sign(&ours, parts, 3, a), "three parts are signed");
    ok(devcache_tier_key_matches(&ours, parts, 3, a), "and are theirs");
    ok(!devcache_tier_key_matches(&others, parts, 3, a), "of another key");
    ok(!devcache_tier_key_matches(&elsewhere, parts, 3, a), "of another name");
    ok(!devcache_tier_key_matches(&ours, moved, 3, a), "cut elsewhere");
    ok(!devcache_tier_key_matches(&ours, parts, 2, a), "one less");
    ok(!devcache_tier_key_matches(&ours, empty, 4, a), "one more, of nothing");
    ok(!devcache_tier_key_sign(&none, parts, 3, a), "nothing to sign with");
    ok(!devcache_tier_key_matches(&none, parts, 3, a), "nor to compare with");
}

static const char *read_file_of(const char *text, mode_t mode)
{
    char path[] = "/tmp/devcache-key-XXXXXX";
    int fd = mkstemp(path);
    devcache_slice_t bytes = {NULL, 0};
    const char *error;

    if (fd < 0 || write(fd, text, strlen(text)) < 0 || fchmod(fd, mode) != 0) {
        return "mkstemp";
    }
    close(fd);
    error = devcache_tier_key_read(path, &bytes, pool);
    unlink(path);
    return error ? error : bytes.data;
}

static void test_files(void)
{
    devcache_slice_t bytes;
    char large[DEVCACHE_TIER_KEY_FILE_MAX + 2];

    memset(large, 'x', sizeof(large));
    large[sizeof(large) - 1] = '\0';
    is_str(read_file_of("pass word\r\nmore", 0600), "pass word", "the first line");
    is_str(read_file_of("pass", 0400), "pass", "and no line's end");
    is_str(read_file_of("\npass", 0600), "has nothing in its first line", "empty");
    is_str(read_file_of("pass", 0640), "can be read by others (mode 640): chmod 600 it",
           "a group");
    is_str(read_file_of("pass", 0602), "can be read by others (mode 602): chmod 600 it",
           "others write");
    is_str(read_file_of(large, 0600), "is longer than 1024 bytes", "too long");
    is_str(devcache_tier_key_read("/nowhere", &bytes, pool),
           "cannot be read: No such file or directory", "none");
    is_str(devcache_tier_key_read("/tmp", &bytes, pool), "cannot be read: Is a directory",
           "a directory");
}

/* ---- messages ------------------------------------------------------------------------ */

static void test_messages(void)
{
    devcache_tier_key_t ours = key_of("0123456789abcdef", "shop");
    devcache_tier_key_t others = key_of("0123456789abcdeX", "shop");
    devcache_tier_key_t elsewhere = key_of("0123456789abcdef", "shop2");
    devcache_tier_key_t none = key_of(NULL, "shop");
    devcache_tier_purge_t purge = {7, 9, 1, devcache_slice_str("order")}, p;
    devcache_tier_seen_t seen[2] = {{1, 2}, {3, 4}};
    devcache_tier_beat_t beat = {7, 5, devcache_slice_str("web1"), seen, 2}, b;
    devcache_slice_t bytes = devcache_tier_message_purge(&ours, &purge, pool);
    devcache_slice_t plain = devcache_tier_message_purge(&none, &purge, pool);
    devcache_slice_t heard = devcache_tier_message_beat(&ours, &beat, pool);
    int read = 0;
    apr_size_t i;

    ok(devcache_tier_message_read_purge(&ours, bytes, &p), "a purge");
    ok(p.node == 7 && p.number == 9 && p.wanted == 1 &&
           devcache_slice_eq(p.order, purge.order),
       "is what it was");
    ok(!devcache_tier_message_read_purge(&others, bytes, &p), "another key");
    ok(!devcache_tier_message_read_purge(&elsewhere, bytes, &p), "another name");
    ok(!devcache_tier_message_read_purge(&ours, plain, &p), "no signature");
    ok(devcache_tier_message_read_purge(&none, plain, &p), "none is needed");
    ok(!devcache_tier_message_read_beat(&ours, bytes, &b, pool), "no heartbeat");
    ok(devcache_tier_message_read_beat(&ours, heard, &b, pool), "a heartbeat");
    ok(b.node == 7 && b.outbox == 5 && b.nseen == 2 && b.seen[1].number == 4 &&
           devcache_slice_eq(b.name, beat.name),
       "is what it was");
    for (i = 0; i < bytes.len; i++) { /* each byte of its own, for the sanitizer */
        char *copy = malloc(bytes.len);

        memcpy(copy, bytes.data, bytes.len);
        copy[i] ^= 1;
        read += devcache_tier_message_read_purge(&ours, devcache_slice(copy, bytes.len),
                                                 &p);
        read += devcache_tier_message_read_purge(&ours, devcache_slice(copy, i), &p);
        free(copy);
    }
    for (i = 0; i < heard.len * 8; i++) {
        char *copy = malloc(heard.len);

        memcpy(copy, heard.data, heard.len);
        copy[i / 8] ^= (char)(1 << i % 8);
        devcache_tier_message_read_beat(&none, devcache_slice(copy, heard.len), &b, pool);
        read += devcache_tier_message_read_beat(&ours, devcache_slice(copy, heard.len),
                                                &b, pool);
        free(copy);
    }
    is_int(read, 0, "what was changed or cut is none");
}

/* ---- orders ------------------------------------------------------------------------------ */

static void test_orders(void)
{
    devcache_ban_t ban = {{DEVCACHE_BAN_ANY}, {DEVCACHE_BAN_PREFIX, "/a"}};
    devcache_order_t many = {DEVCACHE_ORDER_MANY, 1}, out;
    devcache_order_t url = {DEVCACHE_ORDER_URL, 0, "h", "/p", {"b=1&a", NULL}};
    devcache_slice_t bytes;
    apr_size_t i;
    int read = 0;

    devcache_ban_encode(&ban, &many.ban, pool);
    bytes = devcache_order_encode(&many, pool);
    memset(&out, 0xff, sizeof out);
    ok(devcache_order_decode(bytes, &out, pool), "an order about many");
    ok(!out.gone && !out.baton, "nobody is told what goes");
    ok(out.soft == 1 && devcache_slice_eq(out.ban, many.ban), "is what it was");
    bytes = devcache_order_encode(&url, pool);
    ok(devcache_order_decode(bytes, &out, pool), "an order about a URL");
    is_str(out.path, "/p", "its path");
    is_str(out.queries[0], "b=1&a", "its query");
    ok(!out.queries[1] && !out.ban.data, "and what it has not");
    url.path = "p";
    ok(!devcache_order_decode(devcache_order_encode(&url, pool), &out, pool),
       "a path that does not begin with a slash");
    many.ban = devcache_slice("junk", 4);
    ok(!devcache_order_decode(devcache_order_encode(&many, pool), &out, pool),
       "a ban that is none");
    many.kind = 9;
    ok(!devcache_order_decode(devcache_order_encode(&many, pool), &out, pool),
       "of a later version");
    many.ban = devcache_slice(apr_pcalloc(pool, 70000), 70000);
    ok(!devcache_order_encode(&many, pool).data, "more than 64 KB");
    for (i = 0; i < bytes.len; i++) {
        char *cut = malloc(i + 1);

        memcpy(cut, bytes.data, i);
        read += devcache_order_decode(devcache_slice(cut, i), &out, pool);
        free(cut);
    }
    is_int(read, 0, "no beginning of one is one");
}

/* ---- the outbox ------------------------------------------------------------------------------ */

static char root[] = "/tmp/devcache-tier-XXXXXX";
static devcache_tier_state_t *state;
static devcache_outbox_t *outbox;

static devcache_slice_t make_text(void *text, apr_uint64_t number)
{
    return devcache_slice_str(
        text ? apr_psprintf(pool, "%s %d", (char *)text, (int)(number % 1000)) : NULL);
}

static devcache_slice_t make_large(void *baton, apr_uint64_t number)
{
    return devcache_slice(baton, 60000);
}

static apr_status_t add(const char *text)
{
    apr_uint64_t number, end;

    return devcache_outbox_add(outbox, 0, make_text, make_text, (void *)text, &number,
                               &end);
}

/* All that waits beyond *from, as one text. */
static const char *read_all(apr_uint64_t *from)
{
    char *buf = malloc(256 * 1024), *all = apr_pstrdup(pool, "");
    devcache_slice_t out[8];
    apr_uint64_t next;
    unsigned n, i;

    while ((n = devcache_outbox_read(outbox, from, buf, 256 * 1024, out, 8, &next)) > 0) {
        for (i = 0; i < n; i++) {
            all = apr_psprintf(pool, "%s%s%.*s", all, *all ? ", " : "",
                               out[i].len > 40 ? 5 : (int)out[i].len, out[i].data);
        }
        *from = next;
    }
    free(buf);
    return all;
}

static void open_again(void)
{
    const char *error = "";

    if (devcache_tier_state_open(&state, root, getuid(), getgid(), &error, pool) !=
            APR_SUCCESS ||
        devcache_outbox_open(&outbox, state, root, 1, getuid(), getgid(), pool) !=
            APR_SUCCESS) {
        ok(0, "%s", error);
        exit(1);
    }
}

/* In another process, which dies at that point. */
static void die_at(const char *point, const char *text)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        setenv("DEVCACHE_FAULT", apr_pstrcat(pool, point, ":1", NULL), 1);
        if (text) {
            add(text);
        } else {
            devcache_outbox_tidy(outbox, state->end);
        }
        _exit(0);
    }
    waitpid(child, &status, 0);
    ok(WIFSIGNALED(status), "a process dies at %s", point);
}

static void test_outbox(void)
{
    apr_uint64_t from, first, end, i, number;
    char *large = apr_pcalloc(pool, 60000);
    struct stat st;

    open_again();
    first = from = state->end;
    is_str(read_all(&from), "", "nothing waits");
    add("a");
    add("b");
    is_str(read_all(&from), "a 1, b 2", "two wait");
    is_int((long)state->waiting, 2, "and are counted");
    is_str(read_all(&from), "", "each once");
    open_again();
    from = first;
    is_str(read_all(&from), "a 1, b 2", "opened again");
    die_at("kill-in-append", "c");
    is_str((from = first, read_all(&from)), "a 1, b 2", "what it began is not there");
    add("d");
    is_str((from = first, read_all(&from)), "a 1, b 2, d 4", "and does not come back");
    devcache_outbox_tidy(outbox, from - 1);
    is_str((from = first, read_all(&from)), "a 1, b 2, d 4", "not all have all of it");
    die_at("kill-in-outbox", NULL);
    add("e");
    from = state->base;
    is_str(read_all(&from), "e 5", "killed while it was emptied");
    end = from;
    devcache_outbox_tidy(outbox, end);
    ok(stat(apr_pstrcat(pool, root, "/tier-outbox", NULL), &st) == 0 && st.st_size == 0,
       "emptied");
    from = first;
    is_str(read_all(&from), "", "and read as such from any place");
    ok(devcache_outbox_add(outbox, 0, make_text, make_text, NULL, &number, &end) ==
           APR_EINVAL,
       "what cannot be made is not added");
    /* Too much: one stands for all. */
    add("x");
    for (i = 0; i < DEVCACHE_OUTBOX_MAX / 60000 + 1; i++) {
        devcache_outbox_add(outbox, 0, make_large, make_text, large, &number, &end);
    }
    ok(state->overflows > 0, "more than it takes");
    from = first;
    ok(strstr(read_all(&from), "x ") == NULL, "what waited has given way");
    ok(state->waiting < 3, "to one");
    /* Damage. */
    devcache_outbox_tidy(outbox, state->end);
    add("f");
    add("g");
    ok(truncate(apr_pstrcat(pool, root, "/tier-outbox", NULL), 3) == 0,
       "a file cut short");
    from = state->base;
    is_str(read_all(&from), "", "has nothing");
    ok(from == state->end, "and is passed");
    add("h");
    from = state->base;
    ok(strncmp(read_all(&from), "h ", 2) == 0, "what comes after it is there");
}

/* ---- the state ------------------------------------------------------------------------------ */

static void test_state(void)
{
    apr_uint64_t keep[2] = {11, 12}, id = state->node, i;
    devcache_tier_id_t where = {5, 6};
    devcache_tier_server_t *s = devcache_tier_state_server(state, 11, keep, 2);

    ok(s && !s->known, "a server that is new");
    devcache_tier_state_move(s, where);
    ok(s->known && devcache_tier_state_position(s).seq == 6, "has a position");
    ok(devcache_tier_state_server(state, 11, keep, 2) == s, "is found again");
    for (i = 100; i < 120; i++) {
        apr_uint64_t one[2] = {11, i};

        ok(devcache_tier_state_server(state, i, one, 2) != s, "others take turns");
    }
    ok(devcache_tier_state_position(s).ms == 5, "and leave it alone");
    for (i = 1; i <= 3 * DEVCACHE_TIER_NODES; i++) {
        devcache_tier_state_note(state, i, i * 10);
        devcache_tier_state_node(state, i)->seen = i;
    }
    is_int((long)devcache_tier_state_latest(state, 3 * DEVCACHE_TIER_NODES),
           30 * DEVCACHE_TIER_NODES, "the latest purge of a node");
    is_int((long)devcache_tier_state_latest(state, 1), 0, "the oldest are forgotten");
    open_again();
    ok(state->node == id, "the id stays");
    state->place ^= 1;
    open_again();
    ok(state->node != id, "but not in a copy");
    ok(devcache_tier_state_position(devcache_tier_state_server(state, 11, keep, 2)).ms ==
           5,
       "which keeps its positions");
    memcpy(state->magic, "garbage", 8);
    open_again();
    ok(state->node != 0 && state->end == 0, "garbage is begun anew");
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    if (!mkdtemp(root)) {
        return 1;
    }
    test_urls();
    test_signatures();
    test_files();
    test_messages();
    test_orders();
    test_outbox();
    test_state();
    unlink(apr_pstrcat(pool, root, "/tier-state", NULL));
    unlink(apr_pstrcat(pool, root, "/tier-outbox", NULL));
    rmdir(root);
    apr_pool_destroy(pool);
    return done_testing();
}
