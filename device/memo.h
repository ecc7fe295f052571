/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file device/memo.h
 * Answers of the classifier, remembered by all that decided them.
 *
 * Knows header values and rules by their address.
 * Ownership  A table of the process's, of a fixed size; it goes with the process.
 * Locks      A slot is held for a few instructions; who finds it taken goes without.
 * Units      Sizes in bytes.
 * Errors     None: without memory nothing is remembered.
 */
#ifndef DEVCACHE_DEVICE_MEMO_H
#define DEVCACHE_DEVICE_MEMO_H

#include "device/device.h"

/** What is asked, measured; by devcache_device_memo_find(). */
typedef struct {
    const devcache_device_rules_t *rules;
    const char *text[4];      /* User-Agent and the hints; NULL: not sent */
    unsigned short len[4];    /* of each; that of what was not sent is like no other */
    struct memo_slot_t *slot; /* NULL: not to be remembered */
} devcache_device_asked_t;

/** Once, in a process that will ask and whose rules stay until it ends. */
void devcache_device_memo_start(void);

/**
 * The answer that these rules have given to the same bytes before. The cookie is not looked at.
 * @param asked  filled, for devcache_device_memo_put()
 * @return 0: not known
 */
int devcache_device_memo_find(const devcache_device_rules_t *rules,
                              const devcache_device_input_t *in,
                              devcache_device_asked_t *asked,
                              devcache_device_result_t *out);

/** Remember it, if the same was asked for lately. */
void devcache_device_memo_put(const devcache_device_asked_t *asked,
                              const devcache_device_result_t *out);

#endif
