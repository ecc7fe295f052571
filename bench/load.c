/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-load: the load of the comparisons, from one thread that has a core to itself.
 *
 *     bench-load -p PORT [-c CONNECTIONS] [-r RATE] [-w SECONDS] [-d SECONDS] [-n
 * REQUESTS]
 *                [-b BYTES] [-k OBJECTS | -s FIRST | -u PATH] [-v VARIANTS] [-x]
 *
 * Requests are GET /BYTES/NUMBER on kept connections, with the User-Agents of desktops,
 * tablets and phones in turn. An object is a number: object / VARIANTS is the one in the
 * URL, object % 3 the class of the visitor. -k: at random among so many; -s: one after
 * the other from FIRST on. -u: always PATH, and the body is compared with pattern.h.
 *
 * Saturated (no -r): each connection asks again as soon as it has its answer; latency is
 * from request to last byte. Paced: RATE requests a second are due, whatever the server
 * does, each on the connection that has rested longest; latency is from when it was due,
 * so that a server which stalls cannot hide it.
 *
 * Where the server closes a connection it is opened again, and what was asked there is asked
 * once more; that is counted ("closed"). In the middle of an answer it is an error as well.
 *
 * Every answer is checked: status 200, BYTES long, and with -x its first byte is the
 * letter of the class (p, t, m), which the origin put there by what the cache told it.
 *
 * After -w seconds of warm-up it says "ready", waits for a line, runs until -d seconds or
 * -n requests are over and all is answered, prints its figures, and keeps the connections
 * until its input ends. So whoever reads the server's CPU time sees requests only.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "pattern.h"

#define HEAD_MAX 4096
#define CLASSES 3
#define AGENTS 3      /* of each class */
#define PATIENCE 10e9 /* for the last answers, nanoseconds */

static const char letters[CLASSES + 1] = "ptm";
static const char *const agents[CLASSES][AGENTS] = {
    {"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
     "Chrome/126.0.0.0 Safari/537.36",
     "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like "
     "Gecko) Version/17.5 Safari/605.1.15",
     "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0"},
    {"Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
     "Gecko) Version/16.6 Mobile/15E148 Safari/604.1",
     "Mozilla/5.0 (Linux; Android 13; SM-X906C) AppleWebKit/537.36 (KHTML, like Gecko) "
     "Chrome/126.0.0.0 Safari/537.36",
     "Mozilla/5.0 (Linux; Android 11; Lenovo TB-X606F) AppleWebKit/537.36 (KHTML, like "
     "Gecko) Chrome/125.0.0.0 Safari/537.36"},
    {"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 "
     "(KHTML, "
     "like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
     "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
     "Chrome/126.0.0.0 Mobile Safari/537.36",
     "Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0"},
};

/* What the command line says. */
static struct {
    unsigned port, connections, variants, bytes;
    double rate, warm, duration; /* per second; seconds */
    uint64_t requests;           /* 0: no limit */
    uint64_t objects;            /* 0: one after the other */
    uint64_t first;
    const char *path; /* instead of an object's */
    int check_class;
} opt = {0, 50, 1, 1024, 0, 0, 0, 0, 0, 0, NULL, 0};

typedef struct conn_t {
    int fd;
    double due;   /* of the request under way, nanoseconds */
    double begun; /* its body, nanoseconds after due */
    size_t head_len;
    int in_body;
    uint64_t left; /* of the body */
    char letter;   /* class of the visitor */
    int asked;     /* a request is under way: the next two */
    size_t len;
    char text[1024];
    char head[HEAD_MAX];
} conn_t;

static int epoll_fd;
static conn_t *conns;
static unsigned *resting; /* ring of connections without a request */
static unsigned rest_first, rest_count;
static uint64_t issued, answered, errors, closed;
static uint32_t *latency, *first_byte; /* microseconds; to the body's last and first */
static size_t latency_room;
static char *expected;         /* the body, where -u is given */
static char buffer[16 * 1024]; /* as clients read; much larger ones delay the ACKs */

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* An answer that is not what it should be; the first ones are shown. */
static void complain(const char *what, const conn_t *c)
{
    if (errors++ < 3) {
        fprintf(stderr, "bench-load: %s: \"%.*s\"\n", what, (int)strcspn(c->head, "\r\n"),
                c->head);
    }
}

/* ---- connections ---------------------------------------------------------- */

static void rest(const conn_t *c)
{
    resting[(rest_first + rest_count++) % opt.connections] = (unsigned)(c - conns);
}

static void open_conn(conn_t *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)opt.port)};
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    int one = 1;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0 ||
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0 ||
        fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0 ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) != 0) {
        die("bench-load: connecting");
    }
}

static uint64_t next_object(void)
{
    static uint64_t x = 88172645463325252u, count;

    if (opt.objects == 0) {
        return opt.first + count++;
    }
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x % opt.objects;
}

/* The server has closed it, or was about to when something was sent. */
static void reopen(conn_t *c)
{
    closed++;
    if (c->head_len > 0 || c->in_body) {
        complain("cut off", c);
    }
    close(c->fd);
    open_conn(c);
}

static void ask(conn_t *c)
{
    int tries = 0;

    c->head_len = 0;
    c->in_body = 0;
    while (send(c->fd, c->text, c->len, MSG_NOSIGNAL) != (ssize_t)c->len) {
        if ((errno != EPIPE && errno != ECONNRESET) || tries++ == 10) {
            die("bench-load: sending");
        }
        reopen(c);
    }
}

/* Ask for the next object on the connection that has rested longest. */
static void issue(double due)
{
    static unsigned turn;
    conn_t *c = &conns[resting[rest_first]];
    uint64_t object = next_object();
    unsigned class = (unsigned)(object % CLASSES);
    char url[128];

    snprintf(url, sizeof(url), "/%u/%llu", opt.bytes,
             (unsigned long long)(object / opt.variants));
    c->len = (size_t)snprintf(
        c->text, sizeof(c->text),
        "GET %s HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: %s\r\n"
        "Accept: text/html,*/*;q=0.8\r\nAccept-Language: en\r\n"
        "Accept-Encoding: gzip, deflate, br\r\n\r\n",
        opt.path ? opt.path : url, agents[class][turn++ / CLASSES % AGENTS]);

    rest_first = (rest_first + 1) % opt.connections;
    rest_count--;
    c->due = due;
    c->letter = letters[class];
    c->asked = 1;
    issued++;
    ask(c);
}

/* ---- answers -------------------------------------------------------------- */

static void note_latency(const conn_t *c, double ns)
{
    if (answered == latency_room) {
        latency_room = latency_room ? latency_room * 2 : 1 << 16;
        latency = realloc(latency, latency_room * sizeof(*latency));
        first_byte = realloc(first_byte, latency_room * sizeof(*first_byte));
        if (!latency || !first_byte) {
            die("bench-load");
        }
    }
    first_byte[answered] = (uint32_t)(c->begun / 1000);
    latency[answered++] = (uint32_t)(ns / 1000);
}

static void parse_head(conn_t *c)
{
    const char *length = strcasestr(c->head, "\r\nContent-Length:");

    c->left = length ? strtoull(length + 17, NULL, 10) : 0;
    if (strncmp(c->head, "HTTP/1.1 200 ", 13) != 0) {
        complain("status", c);
    } else if (c->left != opt.bytes) {
        complain("length", c);
    }
    c->in_body = 1;
}

/* Take header bytes; returns how many of them. */
static size_t take_head(conn_t *c, const char *data, size_t len)
{
    size_t before = c->head_len;
    size_t room = HEAD_MAX - 1 - before;
    char *end;

    len = len < room ? len : room;
    memcpy(c->head + before, data, len);
    c->head[before + len] = '\0';
    end = strstr(c->head + (before > 3 ? before - 3 : 0), "\r\n\r\n");
    if (!end) {
        if (len == room) {
            fprintf(stderr, "bench-load: no end of the header\n");
            exit(1);
        }
        c->head_len = before + len;
        return len;
    }
    end[2] = '\0';
    c->head_len = (size_t)(end - c->head) + 4;
    parse_head(c);
    return c->head_len - before;
}

static void take(conn_t *c, const char *data, size_t len)
{
    size_t part;

    while (len > 0 && !c->in_body) {
        part = take_head(c, data, len);
        data += part;
        len -= part;
    }
    if (len > c->left) {
        complain("more than its length", c);
        len = (size_t)c->left;
    }
    if (len > 0 && c->left == opt.bytes) {
        c->begun = now_ns() - c->due;
        if (opt.check_class && *data != c->letter) {
            complain("another class's page", c);
        }
    }
    if (len > 0 && expected && c->left <= opt.bytes) {
        size_t skip = c->left == opt.bytes; /* the class's letter */
        if (memcmp(data + skip, expected + (opt.bytes - c->left) + skip, len - skip)) {
            complain("other bytes", c);
        }
    }
    c->left -= len;
    if (c->in_body && c->left == 0) {
        note_latency(c, now_ns() - c->due);
        c->head_len = 0;
        c->in_body = 0;
        c->asked = 0;
        rest(c);
    }
}

static void on_readable(conn_t *c)
{
    ssize_t n = recv(c->fd, buffer, sizeof(buffer), 0);

    if (n > 0) {
        take(c, buffer, (size_t)n);
    } else if (n == 0 || errno == ECONNRESET) {
        reopen(c);
        if (c->asked) {
            ask(c);
        }
    } else if (errno != EAGAIN && errno != EINTR) {
        die("bench-load: receiving");
    }
}

/* ---- a run ---------------------------------------------------------------- */

static void wait_for_answers(double ns)
{
    struct timespec t = {(time_t)(ns / 1e9), 0};
    struct epoll_event events[256];
    int i, n;

    t.tv_nsec = (long)(ns - (double)t.tv_sec * 1e9);
    n = epoll_pwait2(epoll_fd, events, 256, &t, NULL);
    if (n < 0 && errno != EINTR) {
        die("bench-load: epoll_pwait2");
    }
    for (i = 0; i < n; i++) {
        on_readable(events[i].data.ptr);
    }
}

/* Issue what is due; returns the nanoseconds until something will be. */
static double issue_due(double begun, double end, uint64_t limit)
{
    double now = now_ns();
    double due;

    while (rest_count > 0 && issued < limit && now < end) {
        due = opt.rate > 0 ? begun + (double)issued * 1e9 / opt.rate : now;
        if (due > now) {
            return due - now;
        }
        issue(due);
    }
    return PATIENCE;
}

/* Returns the seconds it took. */
static double run(double seconds, uint64_t limit)
{
    double begun = now_ns();
    double end = begun + (seconds > 0 ? seconds * 1e9 : 1e18);
    double pause, progress = begun;
    uint64_t before;

    issued = answered = closed = 0;
    while ((now_ns() < end && issued < limit) || answered < issued) {
        pause = issue_due(begun, end, limit);
        before = answered;
        wait_for_answers(pause);
        if (answered != before) {
            progress = now_ns();
        } else if (answered < issued && now_ns() - progress > PATIENCE) {
            fprintf(stderr, "bench-load: %llu requests are not answered\n",
                    (unsigned long long)(issued - answered));
            exit(1);
        }
    }
    return (now_ns() - begun) / 1e9;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void print_figures(double seconds)
{
    if (answered == 0) {
        fprintf(stderr, "bench-load: nothing was answered\n");
        exit(1);
    }
    qsort(latency, answered, sizeof(*latency), by_value);
    qsort(first_byte, answered, sizeof(*first_byte), by_value);
    printf("requests=%llu errors=%llu seconds=%.4f p50=%u p99=%u max=%u first50=%u "
           "first99=%u closed=%llu\n",
           (unsigned long long)answered, (unsigned long long)errors, seconds,
           latency[answered / 2], latency[answered * 99 / 100], latency[answered - 1],
           first_byte[answered / 2], first_byte[answered * 99 / 100],
           (unsigned long long)closed);
    fflush(stdout);
}

static void read_options(int argc, char **argv)
{
    int c;

    while ((c = getopt(argc, argv, "p:c:r:w:d:n:b:k:s:u:v:x")) != -1) {
        double value = optarg ? strtod(optarg, NULL) : 1;
        switch (c) {
        case 'p':
            opt.port = (unsigned)value;
            break;
        case 'c':
            opt.connections = (unsigned)value;
            break;
        case 'r':
            opt.rate = value;
            break;
        case 'w':
            opt.warm = value;
            break;
        case 'd':
            opt.duration = value;
            break;
        case 'n':
            opt.requests = (uint64_t)value;
            break;
        case 'b':
            opt.bytes = (unsigned)value;
            break;
        case 'k':
            opt.objects = (uint64_t)value;
            break;
        case 's':
            opt.first = (uint64_t)value;
            break;
        case 'u':
            opt.path = optarg;
            break;
        case 'v':
            opt.variants = (unsigned)value;
            break;
        case 'x':
            opt.check_class = 1;
            break;
        default:
            exit(2);
        }
    }
    if (!opt.port || !opt.connections || !opt.variants ||
        (opt.duration <= 0 && !opt.requests)) {
        fprintf(stderr, "bench-load: -p, and one of -d and -n, have to be given\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    char line[16];
    unsigned i;

    read_options(argc, argv);
    prctl(PR_SET_TIMERSLACK, 1);
    epoll_fd = epoll_create1(0);
    conns = calloc(opt.connections, sizeof(*conns));
    resting = calloc(opt.connections, sizeof(*resting));
    expected = opt.path ? malloc(opt.bytes) : NULL;
    if (epoll_fd < 0 || !conns || !resting || (opt.path && !expected)) {
        die("bench-load");
    }
    if (expected) {
        pattern_fill(expected, opt.bytes);
    }
    for (i = 0; i < opt.connections; i++) {
        open_conn(&conns[i]);
        rest(&conns[i]);
    }
    if (opt.warm > 0) {
        run(opt.warm, UINT64_MAX);
    }
    printf("ready\n");
    fflush(stdout);
    if (!fgets(line, sizeof(line), stdin)) {
        return 1;
    }
    print_figures(run(opt.duration, opt.requests ? opt.requests : UINT64_MAX));
    while (fgets(line, sizeof(line), stdin)) {
        ;
    }
    return 0;
}
