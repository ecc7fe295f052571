/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file tier/wire.h
 * A stream of bytes to a server, plain or by TLS, whose every step has a deadline.
 *
 * Belongs to one thread. What TLS needs is made once and may be used by all.
 * Errors     After an error only closing is possible; the wire says why in words.
 * Units      Deadlines are monotonic microseconds.
 */
#ifndef DEVCACHE_TIER_WIRE_H
#define DEVCACHE_TIER_WIRE_H

#include <apr_pools.h>
#include <apr_time.h>
#include <sys/socket.h>

/** Whom to believe, and who we are; of OpenSSL. */
typedef struct ssl_ctx_st devcache_wire_tls_t;

/**
 * TLS 1.2 or later, with names verified.
 * @param ca           a file of certificates that are believed; NULL: the system's
 * @param certificate  a file with our certificate and its key, readable by nobody else;
 *                     NULL: we have none
 * @return NULL and *ptls, which lives as long as the pool; or what is wrong, with the
 *         directive's name
 */
const char *devcache_wire_tls_make(devcache_wire_tls_t **ptls, const char *ca,
                                   const char *certificate, apr_pool_t *p);

typedef struct devcache_wire_t {
    int fd;   /* -1: closed */
    int wake; /* readable when this process ends, which ends all waiting; -1: none */
    struct ssl_st *ssl; /* NULL: plain */
    char trouble[160];  /* after a failure; printable */
} devcache_wire_t;

/* All of these return 0 on failure. */

int devcache_wire_connect(devcache_wire_t *wire, const struct sockaddr *to, socklen_t len,
                          apr_time_t deadline);

/** Speak TLS from now on. @param host  its name or address, as its certificate has it */
int devcache_wire_shake(devcache_wire_t *wire, devcache_wire_tls_t *tls, const char *host,
                        apr_time_t deadline);

/** Send all of it. */
int devcache_wire_send(devcache_wire_t *wire, const char *buf, size_t len,
                       apr_time_t deadline);

/** @return how many bytes came, at least one */
size_t devcache_wire_receive(devcache_wire_t *wire, char *buf, size_t size,
                             apr_time_t deadline);

/** Has nothing come, not even the connection's end? Does not wait. */
int devcache_wire_is_idle(devcache_wire_t *wire);

void devcache_wire_close(devcache_wire_t *wire);

/** Say why. What a server says is made printable. @return 0 */
int devcache_wire_fail(devcache_wire_t *wire, const char *what, const char *more);

#endif
