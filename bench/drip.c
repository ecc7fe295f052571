/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-drip: the origin of make bench-herd. One thread, any number of connections.
 *
 *     bench-drip        says its port, serves until its input ends
 *
 *     GET /WAIT/OVER/BYTES/FIELDS/name
 *
 * is answered after WAIT milliseconds by BYTES of body (pattern.h), all at once, or in
 * equal parts over OVER milliseconds; FIELDS is the value of Cache-Control with "+" for
 * blank. The first byte of the body is the first letter of X-Device-Type, "-" for none.
 *
 *     GET /=NAME
 *
 * tells of all paths that end in NAME: how often they were asked for, how many of these
 * while the same was being answered already, by path and class.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "pattern.h"

#define BODY_MAX (8u << 20)
#define HEAD_MAX 8192
#define STEP_MS 10 /* a part of a dripping body comes so often */
#define PAGES 4096

/* One path as one class sees it. */
typedef struct page_t {
    char path[128];
    char letter;
    unsigned fetches, needless, under_way;
} page_t;

typedef struct conn_t {
    int fd;
    page_t *page; /* of the answer under way; NULL: none */
    double begun; /* milliseconds */
    unsigned wait, over;
    size_t bytes, sent; /* of the body */
    size_t head_len, head_sent;
    size_t got;
    char answer[512];
    char request[HEAD_MAX];
    struct conn_t *next;
} conn_t;

static char body[BODY_MAX];
static page_t pages[PAGES];
static unsigned page_count;
static conn_t *conns;
static int epoll_fd;

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static page_t *page_of(const char *path, char letter)
{
    unsigned i;

    for (i = 0; i < page_count; i++) {
        if (pages[i].letter == letter && !strcmp(pages[i].path, path)) {
            return &pages[i];
        }
    }
    if (page_count == PAGES || strlen(path) >= sizeof(pages->path)) {
        fprintf(stderr, "bench-drip: too many paths, or too long\n");
        exit(1);
    }
    memcpy(pages[page_count].path, path, strlen(path) + 1);
    pages[page_count].letter = letter;
    return &pages[page_count++];
}

static void drop(conn_t *c)
{
    conn_t **at = &conns;

    if (c->page) {
        c->page->under_way--;
    }
    while (*at != c) {
        at = &(*at)->next;
    }
    *at = c->next;
    close(c->fd);
    free(c);
}

/* ---- requests ------------------------------------------------------------- */

static void report(const conn_t *c, const char *name)
{
    unsigned fetches = 0, needless = 0, variants = 0, i;
    char text[256];
    int len;

    for (i = 0; i < page_count; i++) {
        const char *last = strrchr(pages[i].path, '/');
        if (last && !strcmp(last + 1, name)) {
            fetches += pages[i].fetches;
            needless += pages[i].needless;
            variants++;
        }
    }
    len = snprintf(text, sizeof(text), "fetches=%u needless=%u variants=%u\n", fetches,
                   needless, variants);
    dprintf(c->fd, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len, text);
}

static void begin(conn_t *c, const char *path)
{
    const char *device = strcasestr(c->request, "\r\nX-Device-Type:");
    char fields[128] = "", date[64];
    time_t now = time(NULL);
    char *at;

    if (sscanf(path, "/%u/%u/%zu/%127[^/]/", &c->wait, &c->over, &c->bytes, fields) !=
            4 ||
        c->bytes == 0 || c->bytes > BODY_MAX) {
        dprintf(c->fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        return;
    }
    for (at = fields; (at = strchr(at, '+')) != NULL;) {
        *at = ' ';
    }
    device += device ? 16 : 0;
    while (device && *device == ' ') {
        device++;
    }
    c->page = page_of(path, device ? *device : '-');
    c->page->fetches++;
    c->page->needless += c->page->under_way > 0;
    c->page->under_way++;
    c->begun = now_ms();
    c->sent = c->head_sent = 0;
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime(&now));
    c->head_len = (size_t)snprintf(
        c->answer, sizeof(c->answer),
        "HTTP/1.1 200 OK\r\nDate: %s\r\nContent-Type: text/html\r\n"
        "Cache-Control: %s\r\nContent-Length: %zu\r\n\r\n",
        date, fields, c->bytes);
}

/* 0: the connection is gone. */
static int take_request(conn_t *c)
{
    ssize_t n = recv(c->fd, c->request + c->got, HEAD_MAX - 1 - c->got, 0);
    char *end;

    if (n <= 0 && (n == 0 || errno != EAGAIN)) {
        drop(c);
        return 0;
    }
    c->got += n > 0 ? (size_t)n : 0;
    c->request[c->got] = '\0';
    if (!c->page && (end = strstr(c->request, "\r\n\r\n")) != NULL) {
        char path[256] = "";
        sscanf(c->request, "GET %255s", path);
        if (!strncmp(path, "/=", 2)) {
            report(c, path + 2);
        } else {
            begin(c, path);
        }
        c->got = 0; /* nobody pipelines here */
    }
    return 1;
}

/* ---- answers -------------------------------------------------------------- */

/* The body bytes that are due by now. */
static size_t due(const conn_t *c, double now)
{
    double gone = now - c->begun - c->wait;
    double share = c->over == 0 || gone >= c->over ? 1 : (gone + STEP_MS) / c->over;

    return gone < 0 ? 0 : share >= 1 ? c->bytes : (size_t)(share * (double)c->bytes);
}

static ssize_t put(const conn_t *c, const char *data, size_t len)
{
    ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);

    return n < 0 && errno == EAGAIN ? 0 : n;
}

/* Send what is due and fits; 0: the connection is gone. */
static int go_on(conn_t *c, double now)
{
    size_t until = due(c, now);
    ssize_t n = 0;

    while (c->head_sent < c->head_len && until > 0 && n >= 0) {
        n = put(c, c->answer + c->head_sent, c->head_len - c->head_sent);
        c->head_sent += n > 0 ? (size_t)n : 0;
        if (n == 0) {
            return 1;
        }
    }
    while (n >= 0 && c->sent < until) {
        const char letter[1] = {c->page->letter};
        n = c->sent == 0 ? put(c, letter, 1) : put(c, body + c->sent, until - c->sent);
        c->sent += n > 0 ? (size_t)n : 0;
        if (n == 0) {
            return 1;
        }
    }
    if (n < 0) {
        drop(c);
        return 0;
    }
    if (c->sent == c->bytes) {
        c->page->under_way--;
        c->page = NULL;
    }
    return 1;
}

/* Milliseconds until something is due; -1: nothing will be. */
static int go_on_all(void)
{
    double now = now_ms();
    conn_t *c, *next;
    int wait = -1;

    for (c = conns; c; c = next) {
        next = c->next;
        if (c->page && go_on(c, now) && c->page) {
            double until = c->begun + c->wait - now;
            int ms = until > 0 ? (int)until + 1 : STEP_MS / 2;
            wait = wait < 0 || ms < wait ? ms : wait;
        }
    }
    return wait;
}

/* ---- serving -------------------------------------------------------------- */

static void watch(int fd, void *what)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = what};

    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0 ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0) {
        die("bench-drip: epoll");
    }
}

static void accept_all(int listener)
{
    int fd, one = 1;

    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        conn_t *c = calloc(1, sizeof(*c));
        if (!c) {
            die("bench-drip");
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        c->fd = fd;
        c->next = conns;
        conns = c;
        watch(fd, c);
    }
}

static int listen_somewhere(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) != 0 || listen(fd, 1024) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0) {
        die("bench-drip: listening");
    }
    printf("%u\n", ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

int main(void)
{
    struct epoll_event events[256];
    int listener, i, n;
    char input;

    pattern_fill(body, sizeof(body));
    epoll_fd = epoll_create1(0);
    listener = listen_somewhere();
    watch(listener, &listener);
    watch(0, &input);
    for (;;) {
        n = epoll_wait(epoll_fd, events, 256, go_on_all());
        for (i = 0; i < n; i++) {
            if (events[i].data.ptr == &input) {
                return 0;
            }
            if (events[i].data.ptr == &listener) {
                accept_all(listener);
            } else {
                take_request(events[i].data.ptr);
            }
        }
    }
}
