/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream of bytes.
 *
 * The socket never blocks; who wants something that is not there yet waits by poll(), for
 * the server and for the end of this process. TLS is OpenSSL's, on the same socket, in the
 * same way: hiredis has TLS of its own only in later versions, and cannot tell there what a
 * handshake waits for.
 *
 * A certificate is verified always, for the name or the address that the URL has: there is
 * no way to switch that off, as TLS without it is none.
 */
#include "tier/wire.h"

#include <apr_strings.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "tier/key.h"

int devcache_wire_fail(devcache_wire_t *w, const char *what, const char *more)
{
    char *at;

    apr_snprintf(w->trouble, sizeof(w->trouble), "%s%s%s", what, *more ? ": " : "", more);
    for (at = w->trouble; *at; at++) {
        if ((unsigned char)*at < 0x20 || (unsigned char)*at > 0x7e) {
            *at = '.'; /* what a server says goes into logs and pages */
        }
    }
    return 0;
}

void devcache_wire_close(devcache_wire_t *w)
{
    SSL_free(w->ssl);
    w->ssl = NULL;
    if (w->fd >= 0) {
        close(w->fd);
    }
    w->fd = -1;
}

/* Until the socket is ready for @a events. */
static int wait_for(devcache_wire_t *w, short events, apr_time_t deadline)
{
    for (;;) {
        struct pollfd fds[2] = {{w->fd, events, 0}, {w->wake, POLLIN, 0}};
        apr_interval_time_t left = deadline - devcache_monotonic();
        int n;

        if (left <= 0) {
            return devcache_wire_fail(w, "it did not answer in time", "");
        }
        n = poll(fds, w->wake >= 0 ? 2 : 1, (int)((left + 999) / 1000));
        if (n < 0 && errno != EINTR) {
            return devcache_wire_fail(w, "poll", strerror(errno));
        }
        if (n > 0 && fds[1].revents && w->wake >= 0) {
            return devcache_wire_fail(w, "this process ends", "");
        }
        if (n > 0 && fds[0].revents) {
            return 1;
        }
    }
}

int devcache_wire_connect(devcache_wire_t *w, const struct sockaddr *to, socklen_t len,
                          apr_time_t deadline)
{
    int error = 0, on = 1;
    socklen_t size = sizeof(error);

    w->fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (w->fd < 0 ||
        (connect(w->fd, to, len) != 0 && errno != EINPROGRESS && errno != EINTR)) {
        return devcache_wire_fail(w, "cannot connect", strerror(errno));
    }
    if (to->sa_family != AF_UNIX) {
        setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    if (!wait_for(w, POLLOUT, deadline)) {
        return devcache_monotonic() < deadline
                   ? 0
                   : devcache_wire_fail(w, "cannot connect in time", "");
    }
    if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error) {
        return devcache_wire_fail(w, "cannot connect", strerror(error ? error : errno));
    }
    return 1;
}

/* ---- TLS ---------------------------------------------------------------------------------- */

static const char *reason(void)
{
    unsigned long first = ERR_peek_error();
    const char *text = ERR_GET_LIB(first) == ERR_LIB_SYS ? strerror(ERR_GET_REASON(first))
                                                         : ERR_reason_error_string(first);

    return text ? text : "unknown error";
}

/* A key with a passphrase: nobody is there to type it. */
static int no_passphrase(char *buf, int size, int writing, void *baton)
{
    return 0;
}

static apr_status_t free_tls(void *tls)
{
    SSL_CTX_free(tls);
    return APR_SUCCESS;
}

static const char *fill_tls(SSL_CTX *tls, const char *ca, const char *certificate,
                            apr_pool_t *p)
{
    const char *error;

    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_default_passwd_cb(tls, no_passphrase);
    if (ca ? SSL_CTX_load_verify_locations(tls, ca, NULL) != 1
           : SSL_CTX_set_default_verify_paths(tls) != 1) {
        return apr_psprintf(p,
                            "DevCacheTierCA: the certificates of %s cannot be read: %s",
                            ca ? ca : "the system", reason());
    }
    if (!certificate) {
        return NULL;
    }
    if ((error = devcache_tier_key_guarded(certificate, p)) != NULL) {
        return apr_psprintf(p, "DevCacheTierCertificate: the file %s %s", certificate,
                            error);
    }
    if (SSL_CTX_use_certificate_chain_file(tls, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, certificate, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(tls) != 1) {
        return apr_psprintf(p,
                            "DevCacheTierCertificate: the file %s does not have a "
                            "certificate and its key, without a passphrase: %s",
                            certificate, reason());
    }
    return NULL;
}

const char *devcache_wire_tls_make(devcache_wire_tls_t **ptls, const char *ca,
                                   const char *certificate, apr_pool_t *p)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    const char *error;

    if (!tls) {
        return "DevCacheTier: there is no TLS";
    }
    apr_pool_cleanup_register(p, tls, free_tls, apr_pool_cleanup_null);
    ERR_clear_error();
    error = fill_tls(tls, ca, certificate, p);
    ERR_clear_error(); /* nor does anybody else take ours for his */
    *ptls = error ? NULL : tls;
    return error;
}

/* What OpenSSL waits for, of poll(); 0: it failed. */
static short wanted(devcache_wire_t *w, int rc)
{
    int error = errno;
    long verified;

    switch (SSL_get_error(w->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        return POLLIN;
    case SSL_ERROR_WANT_WRITE:
        return POLLOUT;
    case SSL_ERROR_ZERO_RETURN:
        devcache_wire_fail(w, "the connection broke", "it was closed");
        break;
    case SSL_ERROR_SYSCALL:
        devcache_wire_fail(w, "the connection broke",
                           error ? strerror(error) : "it was closed");
        break;
    default:
        verified = SSL_get_verify_result(w->ssl);
        if (verified != X509_V_OK) {
            devcache_wire_fail(w, "its certificate is not believed",
                               X509_verify_cert_error_string(verified));
        } else {
            devcache_wire_fail(w, "the connection broke, by TLS", reason());
        }
    }
    ERR_clear_error();
    return 0;
}

/* By whom it has to be signed for. */
static int expect_name(devcache_wire_t *w, const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    X509_VERIFY_PARAM *param = SSL_get0_param(w->ssl);

    if (inet_pton(AF_INET, host, address) == 1 ||
        inet_pton(AF_INET6, host, address) == 1) {
        return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
    }
    return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 &&
           SSL_set_tlsext_host_name(w->ssl, host) == 1;
}

int devcache_wire_shake(devcache_wire_t *w, devcache_wire_tls_t *tls, const char *host,
                        apr_time_t deadline)
{
    short events;
    int rc;

    w->ssl = SSL_new(tls);
    if (!w->ssl || SSL_set_fd(w->ssl, w->fd) != 1 || !expect_name(w, host)) {
        return devcache_wire_fail(w, "there is no TLS", "memory");
    }
    for (;;) {
        ERR_clear_error();
        errno = 0;
        if ((rc = SSL_connect(w->ssl)) == 1) {
            return 1;
        }
        events = wanted(w, rc);
        if (!events || !wait_for(w, events, deadline)) {
            return 0;
        }
    }
}

/* ---- bytes -------------------------------------------------------------------------------- */

/* As much as goes at once; *pevents says what to wait for, 0 after a failure. */
static size_t move_some(devcache_wire_t *w, char *to, const char *from, size_t len,
                        short *pevents)
{
    int rc, room = len > (1u << 20) ? 1 << 20 : (int)len;
    ssize_t n;

    if (w->ssl) {
        ERR_clear_error();
        errno = 0;
        rc = to ? SSL_read(w->ssl, to, room) : SSL_write(w->ssl, from, room);
        *pevents = rc > 0 ? 0 : wanted(w, rc);
        return rc > 0 ? (size_t)rc : 0;
    }
    n = to ? recv(w->fd, to, len, 0) : send(w->fd, from, len, MSG_NOSIGNAL);
    *pevents = to ? POLLIN : POLLOUT;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
        *pevents = 0;
        devcache_wire_fail(w, "the connection broke",
                           n < 0 ? strerror(errno) : "it was closed");
    }
    return n > 0 ? (size_t)n : 0;
}

int devcache_wire_send(devcache_wire_t *w, const char *buf, size_t len,
                       apr_time_t deadline)
{
    while (len > 0) {
        short events;
        size_t n = move_some(w, NULL, buf, len, &events);

        buf += n;
        len -= n;
        if (n == 0 && (!events || !wait_for(w, events, deadline))) {
            return 0;
        }
    }
    return 1;
}

int devcache_wire_is_idle(devcache_wire_t *w)
{
    ssize_t n;
    char c;

    if (w->ssl) {
        ERR_clear_error();
        errno = 0;
        n = SSL_peek(w->ssl, &c, 1);
        return n <= 0 && wanted(w, (int)n);
    }
    n = recv(w->fd, &c, 1, MSG_PEEK);
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

size_t devcache_wire_receive(devcache_wire_t *w, char *buf, size_t size,
                             apr_time_t deadline)
{
    for (;;) {
        short events;
        size_t n = move_some(w, buf, NULL, size, &events);

        if (n > 0 || !events || !wait_for(w, events, deadline)) {
            return n;
        }
    }
}
