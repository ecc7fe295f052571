/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/background.h
 * Requests of the server's own: handled by threads that no client waits for.
 *
 * Glue. A request is made from one that a client has sent, by that one's thread, with all
 * hooks up to its handler run there: access control, rewriting and TLS variables are
 * those of the visitor. Its handler runs in one of the child's few background threads.
 * Processes  Per child; where the MPM has no threads the handler runs in the caller's.
 */
#ifndef DEVCACHE_REQUEST_BACKGROUND_H
#define DEVCACHE_REQUEST_BACKGROUND_H

#include <httpd.h>
#include <http_config.h>

/** What is to become of a request when it is its turn, in @a own's thread. */
typedef void devcache_background_fn(request_rec *own, void *baton);

/**
 * In the parent, once all modules are loaded: is this the httpd that we were compiled
 * for? If not, and it has mpm_event, nothing runs in threads of its own.
 */
void devcache_background_start(server_rec *main_server);

/** Once per child. */
void devcache_background_child_init(apr_pool_t *pchild, server_rec *s);

/** Register the filters that stand for a client. */
void devcache_background_register(void);

/**
 * A pool of its own for a request and all it needs, that any thread may go on with.
 * devcache_background_run() destroys it, or the caller who does not come to that.
 */
apr_pool_t *devcache_background_pool(void);

/**
 * A GET for the URL of @a r, as the same client, with the header @a fields (copied).
 * Nothing in it points into the pools of @a r, once devcache_background_run() has it.
 * @param p  from devcache_background_pool()
 */
request_rec *devcache_background_request(request_rec *r, const apr_table_t *fields,
                                         apr_pool_t *p);

/**
 * The same for another path (and query) of the same site, with an environment (copied);
 * nobody has been let in yet.
 * @param of  the visitor's own connection: that of @a r may have been detached
 */
request_rec *devcache_background_part(request_rec *r, const conn_rec *of, const char *uri,
                                      const apr_table_t *fields,
                                      const apr_table_t *environment, apr_pool_t *p);

/** Run the hooks before the handler. @return OK or their status */
int devcache_background_prepare(request_rec *own);

/**
 * Have a thread call @a fn for it, then destroy its pool, even if that has to wait or the
 * child is about to end: then @a fn finds devcache_background_is_ending().
 * @return 0 if too many wait already; @a fn is not called and the pool is the caller's
 */
int devcache_background_run(request_rec *own, devcache_background_fn *fn, void *baton);

/** Is this child about to end, so that nothing should be begun? */
int devcache_background_is_ending(void);

/** Take the client away from a copy of a connection: filters of its own, which swallow
 *  what is sent and have nothing to read. */
void devcache_background_lead_nowhere(conn_rec *c);

/** What all modules have noted of a connection, for a copy of it. */
ap_conf_vector_t *devcache_background_copy_config(ap_conf_vector_t *of, apr_pool_t *p);

/** Run it in this thread, now; its pool stays the caller's. */
void devcache_background_run_here(request_rec *own, devcache_background_fn *fn,
                                  void *baton);

/** A copy of a client's connection in another pool, which leads nowhere. */
conn_rec *devcache_background_connection(const conn_rec *of, apr_pool_t *p);

/** Let hooks see it as one by https or http, whatever it was copied from. Applications see
 * HTTPS=on. */
void devcache_background_pretend(conn_rec *c, int tls);

/** From now on nothing of the request leads to the client's connection; for one that waits
 * before it is run. devcache_background_run() does it as well. */
void devcache_background_detach(request_rec *own);

/** 0: devcache_background_run() returns when all is done. */
int devcache_background_has_threads(void);

#endif
