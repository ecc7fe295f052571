/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection.
 *
 * hiredis makes commands and reads replies; the bytes go by tier/wire.h, so that each
 * command has one deadline, however many pieces its reply comes in.
 * A reply is bounded in bytes, and its arrays in members before they are allocated: the
 * server may be anything that somebody has left on that port.
 *
 * Names are resolved at each connection, by the thread that owns the link: no request ever
 * waits for a resolver.
 */
#include "tier/link.h"

#include <apr_strings.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <xxhash.h>
#include "base/clock.h"
#include "tier/reply.h"
#include "tier/wire.h"

#define WORDS_MAX 32
#define ARRAY_MAX 4096 /* members of an array in a reply */

struct devcache_link_t {
    devcache_link_conf_t conf;
    devcache_wire_t wire;
    redisReader *reader; /* NULL: closed */
    char *queued;        /* commands that are not sent yet; malloc() */
    size_t nqueued, room;
    apr_uint64_t run;
    char trouble[160];
};

/* ---- life ------------------------------------------------------------------------------- */

static apr_status_t close_link(void *link)
{
    devcache_link_close(link);
    return APR_SUCCESS;
}

devcache_link_t *devcache_link_create(const devcache_link_conf_t *conf, int wake,
                                      apr_pool_t *p)
{
    devcache_link_t *link = apr_pcalloc(p, sizeof(*link));

    link->conf = *conf;
    link->wire.fd = -1;
    link->wire.wake = wake;
    apr_pool_cleanup_register(p, link, close_link, apr_pool_cleanup_null);
    return link;
}

int devcache_link_is_open(const devcache_link_t *link)
{
    return link->reader != NULL;
}

int devcache_link_is_alive(devcache_link_t *link)
{
    if (devcache_link_is_open(link) && !devcache_wire_is_idle(&link->wire)) {
        devcache_link_close(link);
    }
    return devcache_link_is_open(link);
}

int devcache_link_ready(devcache_link_t *link)
{
    return devcache_link_is_alive(link) || devcache_link_open(link);
}

void devcache_link_close(devcache_link_t *link)
{
    devcache_wire_close(&link->wire);
    if (link->reader) {
        redisReaderFree(link->reader);
        link->reader = NULL;
    }
    free(link->queued);
    link->queued = NULL;
    link->nqueued = link->room = 0;
}

apr_uint64_t devcache_link_run(const devcache_link_t *link)
{
    return link->run;
}

const char *devcache_link_trouble(const devcache_link_t *link)
{
    return link->trouble;
}

/* Close it, as its wire says why. @return 0 */
static int broken(devcache_link_t *link)
{
    memcpy(link->trouble, link->wire.trouble, sizeof(link->trouble));
    devcache_link_close(link);
    return 0;
}

/* Say why, and close. @return 0 */
static int fail(devcache_link_t *link, const char *what, const char *more)
{
    devcache_wire_fail(&link->wire, what, more);
    return broken(link);
}

/* ---- replies are bounded ------------------------------------------------------------------ */

static redisReplyObjectFunctions bounded;
static pthread_once_t made = PTHREAD_ONCE_INIT;
#if HIREDIS_MAJOR >= 1
typedef size_t array_size_t;
#else
typedef int array_size_t;
#endif
static void *(*create_array)(const redisReadTask *, array_size_t);

static void *create_bounded(const redisReadTask *task, array_size_t n)
{
    return n > (array_size_t)ARRAY_MAX ? NULL : create_array(task, n);
}

/* hiredis' own functions, but for arrays. */
static void make_bounded(void)
{
    redisReader *reader = redisReaderCreate();

    if (reader) {
        bounded = *reader->fn;
        create_array = bounded.createArray;
        bounded.createArray = create_bounded;
        redisReaderFree(reader);
    }
}

static int make_reader(devcache_link_t *link)
{
    link->reader = redisReaderCreate();
    if (!link->reader) {
        return fail(link, "no memory", "");
    }
    pthread_once(&made, make_bounded);
    if (create_array) {
        link->reader->fn = &bounded;
    }
    return 1;
}

/* ---- commands and replies ------------------------------------------------------------------ */

static int send_all(devcache_link_t *link, apr_time_t deadline)
{
    size_t n = link->nqueued;

    link->nqueued = 0;
    return devcache_wire_send(&link->wire, link->queued, n, deadline) || broken(link);
}

redisReply *devcache_link_hear(devcache_link_t *link, apr_interval_time_t patience)
{
    apr_time_t deadline = devcache_monotonic() + link->conf.answer_time + patience;
    apr_size_t total = 0;
    void *reply = NULL;
    char buf[16384];

    if (!link->reader || !send_all(link, deadline)) {
        return NULL;
    }
    for (;;) {
        size_t n;

        if (redisReaderGetReply(link->reader, &reply) != REDIS_OK) {
            fail(link, "it does not speak the protocol of Redis", link->reader->errstr);
            return NULL;
        }
        if (reply) {
            return reply;
        }
        if (total > DEVCACHE_LINK_REPLY_MAX) {
            fail(link, "its reply is larger than 8 MB", "");
            return NULL;
        }
        n = devcache_wire_receive(&link->wire, buf, sizeof(buf), deadline);
        if (n == 0) {
            broken(link);
            return NULL;
        }
        total += n;
        if (redisReaderFeed(link->reader, buf, n) != REDIS_OK) {
            fail(link, "no memory for its reply", "");
            return NULL;
        }
    }
}

apr_time_t devcache_link_clock(devcache_link_t *link, apr_interval_time_t patience)
{
    redisReply *r = devcache_link_say_words(link, "TIME", NULL)
                        ? devcache_link_hear(link, patience)
                        : NULL;
    apr_time_t clock = devcache_reply_clock(r);

    freeReplyObject(r);
    return clock;
}

/* Behind what is queued. @return 0 without memory */
static int queue(devcache_link_t *link, const char *bytes, size_t len)
{
    if (link->room - link->nqueued < len) {
        size_t room = 2 * link->room + len;
        char *more = realloc(link->queued, room);

        if (!more) {
            return 0;
        }
        link->queued = more;
        link->room = room;
    }
    memcpy(link->queued + link->nqueued, bytes, len);
    link->nqueued += len;
    return 1;
}

int devcache_link_say(devcache_link_t *link, int n, const devcache_slice_t *words)
{
    const char *argv[WORDS_MAX];
    size_t lens[WORDS_MAX];
    char *command = NULL;
    long long len;
    int i, fine;

    for (i = 0; i < n && i < WORDS_MAX; i++) {
        argv[i] = words[i].data;
        lens[i] = words[i].len;
    }
    if (!link->reader) {
        return 0;
    }
    len = redisFormatCommandArgv(&command, i, argv, lens);
    fine = len > 0 && queue(link, command, (size_t)len);
    if (len > 0) {
        redisFreeCommand(command);
    }
    return fine || fail(link, "no memory for a command", "");
}

int devcache_link_say_list(devcache_link_t *link, const char *const list[])
{
    devcache_slice_t words[WORDS_MAX] = {{NULL, 0}};
    int n;

    for (n = 0; n < WORDS_MAX && list[n]; n++) {
        words[n] = devcache_slice_str(list[n]);
    }
    return devcache_link_say(link, n, words);
}

/* ---- opening ------------------------------------------------------------------------------ */

/* To one address. @return 0 on failure */
static int connect_to(devcache_link_t *link, const struct sockaddr *to, socklen_t len)
{
    const devcache_link_conf_t *c = &link->conf;

    devcache_wire_close(&link->wire);
    return (devcache_wire_connect(&link->wire, to, len,
                                  devcache_monotonic() + c->connect_time) &&
            (!c->url.is_tls ||
             devcache_wire_shake(&link->wire, c->tls, c->url.host,
                                 devcache_monotonic() + c->connect_time))) ||
           broken(link);
}

static int connect_path(devcache_link_t *link)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};

    apr_cpystrn(to.sun_path, link->conf.url.path, sizeof(to.sun_path));
    return connect_to(link, (const struct sockaddr *)(const void *)&to, sizeof(to));
}

/* To one of the host's addresses. */
static int connect_any(devcache_link_t *link)
{
    const devcache_url_t *url = &link->conf.url;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *all = NULL, *a;
    char port[12];
    int rc, done = 0;

    if (!url->host) {
        return connect_path(link);
    }
    apr_snprintf(port, sizeof(port), "%d", url->port);
    if ((rc = getaddrinfo(url->host, port, &hints, &all)) != 0) {
        return fail(link, "its name cannot be resolved", gai_strerror(rc));
    }
    for (a = all; a && !done; a = a->ai_next) {
        done = connect_to(link, a->ai_addr, a->ai_addrlen);
    }
    freeaddrinfo(all);
    return done;
}

/* A command whose reply must be OK. */
static int expect_ok(devcache_link_t *link, const char *what)
{
    redisReply *reply = devcache_link_hear(link, 0);
    int fine = reply && reply->type == REDIS_REPLY_STATUS;

    if (reply && !fine) {
        fail(link, what, reply->type == REDIS_REPLY_ERROR ? reply->str : "no answer");
    }
    freeReplyObject(reply);
    return fine;
}

static int log_in(devcache_link_t *link)
{
    const devcache_link_conf_t *c = &link->conf;
    char database[12];

    if (c->password) {
        if (!(c->url.user
                  ? devcache_link_say_words(link, "AUTH", c->url.user, c->password, NULL)
                  : devcache_link_say_words(link, "AUTH", c->password, NULL)) ||
            !expect_ok(link, "it refuses the user or the password")) {
            return 0;
        }
    }
    if (c->url.database > 0) {
        apr_snprintf(database, sizeof(database), "%d", c->url.database);
        return devcache_link_say_words(link, "SELECT", database, NULL) &&
               expect_ok(link, "it refuses the database");
    }
    return 1;
}

/* The value of a line of INFO; its length, 0 if it is not there. */
static size_t info_of(const char *info, const char *name, const char **pvalue)
{
    const char *at = strstr(info, name);

    *pvalue = at ? at + strlen(name) : "";
    return strcspn(*pvalue, "\r\n");
}

/* What kind of server it is: streams with counters of their entries came with 7.0. */
static int look_at(devcache_link_t *link)
{
    redisReply *reply = devcache_link_say_words(link, "INFO", "server", NULL)
                            ? devcache_link_hear(link, 0)
                            : NULL;
    const char *version, *run;
    size_t len;
    int fine = 0;

    if (!reply) {
        return 0;
    }
    if (reply->type != REDIS_REPLY_STRING) {
        fail(link, "it does not say what it is (INFO server)",
             reply->type == REDIS_REPLY_ERROR ? reply->str : "");
    } else if (!info_of(reply->str, "redis_version:", &version) ||
               strtol(version, NULL, 10) < 7) {
        fail(link, "it is older than Redis 7.0", "");
    } else if (!(len = info_of(reply->str, "run_id:", &run))) {
        fail(link, "it does not say its run_id", "");
    } else {
        link->run = XXH3_64bits(run, len);
        fine = 1;
    }
    freeReplyObject(reply);
    return fine;
}

int devcache_link_open(devcache_link_t *link)
{
    devcache_link_close(link);
    if (connect_any(link) && make_reader(link) && log_in(link) && look_at(link)) {
        link->trouble[0] = '\0';
        return 1;
    }
    return 0;
}
