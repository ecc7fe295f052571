/**
 * @file devcache_background.h
 * Requests of the server's own: handled by threads that no client waits for.
 *
 * Glue. A request is made from one that a client has sent, by that one's thread, with all
 * hooks up to its handler run there: access control, rewriting and TLS variables are
 * those of the visitor. Its handler runs in one of the child's few background threads.
 * Processes  Per child; where the MPM has no threads the handler runs in the caller's.
 */
#ifndef DEVCACHE_BACKGROUND_H
#define DEVCACHE_BACKGROUND_H

#include <httpd.h>
#include <http_config.h>

/** What is to become of a request when it is its turn, in @a own's thread. */
typedef void devcache_background_fn(request_rec *own, void *baton);

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

/** What all modules have noted of a connection, for a copy of it. */
ap_conf_vector_t *devcache_background_copy_config(ap_conf_vector_t *of, apr_pool_t *p);

#endif
