/**
 * @file devcache_head.h
 * The head of a hit, written in one piece.
 *
 * httpd's own filter checks each field, takes Vary apart and joins it again, and appends
 * piece by piece: a quarter of all instructions of a hit (docs/bench.md). What a hit
 * sends is known beforehand, so the ordinary one (status 200, HTTP/1, a body of known
 * length) is checked and copied in one go, byte for byte what httpd would send. Whatever
 * is not ordinary is left to httpd's filter.
 *
 * Glue.
 */
#ifndef DEVCACHE_HEAD_H
#define DEVCACHE_HEAD_H

#include "devcache_request.h"

/** @a r is about to be answered with x->stored: write the head here, if it can be. */
void devcache_head_take(request_rec *r, devcache_exchange_t *x);

/** Once, when all modules are loaded. */
void devcache_head_init(void);

/** Once, with the hooks. */
void devcache_head_register(void);

#endif
