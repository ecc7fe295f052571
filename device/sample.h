/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file device/sample.h
 * A User-Agent for a class, where the server itself asks for a page.
 */
#ifndef DEVCACHE_DEVICE_SAMPLE_H
#define DEVCACHE_DEVICE_SAMPLE_H

#include "device/device.h"

/**
 * @param class  after folding; NULL: any
 * @return a static text that these rules take for that class; NULL: none is known
 */
const char *devcache_sample_agent(const devcache_device_rules_t *rules,
                                  const char *class);

#endif
