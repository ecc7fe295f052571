/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One visitor of each kind that the built-in rules know. Own rules may take any of them for
 * something else, so they are asked.
 */
#include "device/sample.h"

#include <string.h>

static const char *const agents[] = {
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/130.0.0.0 Safari/537.36 devcache-refill",
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/130.0.0.0 Mobile Safari/537.36 devcache-refill",
    "Mozilla/5.0 (Linux; Android 14; SM-X710) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/130.0.0.0 Safari/537.36 devcache-refill",
    "Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Version/7.0 TV Safari/537.36 devcache-refill",
    "Mozilla/5.0 (PlayStation; PlayStation 5/9.00) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) Version/15.4 Safari/605.1.15 devcache-refill",
    "devcache-refill-bot/1.0",
};

#define AGENTS (sizeof(agents) / sizeof(*agents))

const char *devcache_sample_agent(const devcache_device_rules_t *rules, const char *class)
{
    devcache_device_input_t in = {NULL};
    devcache_device_result_t out = {""};
    unsigned i;

    for (i = 0; i < AGENTS; i++) {
        in.user_agent = agents[i];
        if (rules) {
            devcache_device_classify(rules, &in, &out);
        }
        if (!class || (rules && !strcmp(out.class, class))) {
            return agents[i];
        }
    }
    return NULL;
}
