/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fault.h"

#ifdef DEVCACHE_TESTING
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

int devcache_fault_due(const char *name)
{
    static unsigned long passed, passed_for;
    const char *spec = getenv("DEVCACHE_FAULT");
    const char *colon = spec ? strchr(spec, ':') : NULL;
    size_t len = strlen(name);
    unsigned long nth, due;
    char *behind;

    if (!colon || (size_t)(colon - spec) != len || memcmp(spec, name, len) != 0) {
        return 0;
    }
    /* A test that sets another value begins to count anew. */
    if (__atomic_exchange_n(&passed_for, XXH3_64bits(spec, strlen(spec)),
                            __ATOMIC_RELAXED) != XXH3_64bits(spec, strlen(spec))) {
        __atomic_store_n(&passed, 0, __ATOMIC_RELAXED);
    }
    nth = __atomic_add_fetch(&passed, 1, __ATOMIC_RELAXED);
    due = strtoul(colon + 1, &behind, 10);
    return nth == due || (nth > due && *behind == '+');
}

int devcache_fault_signal(void)
{
    const char *spec = getenv("DEVCACHE_FAULT");

    return spec && strstr(spec, ":stop") ? SIGSTOP : SIGKILL;
}
#else
typedef int devcache_fault_unused_t;
#endif
