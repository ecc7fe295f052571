/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file device/agent.h
 * Reads a User-Agent by the built-in rules. Private to device/device.c.
 *
 * Ownership  The agent lives in the pool given at build; immutable, shared by threads.
 */
#ifndef DEVCACHE_DEVICE_AGENT_H
#define DEVCACHE_DEVICE_AGENT_H

#include <apr_pools.h>
#include "device/rules.h"

typedef struct devcache_device_agent_t devcache_device_agent_t;

typedef struct {
    unsigned label;       /* number of what decided, see devcache_device_agent_label() */
    devcache_kind_t kind; /* what the string says it is */
    devcache_kind_t device; /* the same, but for a bot the device that it imitates */
    int android;            /* the string names Android */
} devcache_device_answer_t;

/** The agent of pool @a p: built by the first call with that pool, then shared. */
const devcache_device_agent_t *devcache_device_agent_get(apr_pool_t *p);

/** Read @a size bytes at @a s, of any value. */
void devcache_device_agent_read(const devcache_device_agent_t *agent, const char *s,
                                apr_size_t size, devcache_device_answer_t *out);

/** How many labels there are; labels are numbered from 0. */
unsigned devcache_device_agent_labels(const devcache_device_agent_t *agent);

/** "rule: word" of a label, for people. */
const char *devcache_device_agent_label(const devcache_device_agent_t *agent,
                                        unsigned label);

/** The kind that a label says. */
devcache_kind_t devcache_device_agent_kind(const devcache_device_agent_t *agent,
                                           unsigned label);

#endif
