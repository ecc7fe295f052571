/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file device/hints.h
 * What Client Hints add to the User-Agent's answer. Private to device/device.c.
 *
 * Pure functions over header values; malformed values count as absent.
 */
#ifndef DEVCACHE_DEVICE_HINTS_H
#define DEVCACHE_DEVICE_HINTS_H

#include "device/device.h"
#include "device/agent.h"

#define DEVCACHE_DEVICE_HINT_MAX 256 /* bytes of one hint; a longer one is malformed */

typedef enum {
    DEVCACHE_HINT_WATCH,
    DEVCACHE_HINT_TABLET,
    DEVCACHE_HINT_XR,
    DEVCACHE_HINT_MOBILE,
    DEVCACHE_HINT_ANDROID,
    DEVCACHE_HINTS /* none of them changes the answer */
} devcache_device_hint_t;

/** The hint that overrules @a said, what the User-Agent says; DEVCACHE_HINTS if none. */
devcache_device_hint_t devcache_device_hints_refine(const devcache_device_input_t *in,
                                                    const devcache_device_answer_t *said);

/** What a hint says the device is. */
devcache_kind_t devcache_device_hints_kind(devcache_device_hint_t hint);

/** The hint in words, for people; static text. */
const char *devcache_device_hints_name(devcache_device_hint_t hint);

#endif
