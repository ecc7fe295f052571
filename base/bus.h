/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file base/bus.h
 * Bus errors in mapped files: the mapping is given up, the process goes on.
 *
 * A page of a mapped file that cannot be read or written (the disk died, the file was cut
 * short) is told of by SIGBUS. In a range that was named here the signal puts zeros in
 * place of the whole range, private to this process, and notes it; the access that failed
 * is then done on those. Elsewhere the signal does what it did before.
 * Locks      None.
 * Processes  Ranges are inherited by fork as mappings are; each process has its own notes.
 */
#ifndef DEVCACHE_BASE_BUS_H
#define DEVCACHE_BASE_BUS_H

#include <stddef.h>

/**
 * Guard @a len bytes at @a from, whole pages, mapped for reading and writing.
 * @param phit  set to 1 (atomic) when the range was given up
 * @return 0 if there is no room for another one
 */
int devcache_bus_guard(void *from, size_t len, int *phit);

/** Guard it no longer; before it is unmapped. */
void devcache_bus_release(void *from);

/**
 * Take over the signal in this process. Whoever takes it over later (mod_mpm's own
 * handler for core dumps, at start) is to call what was there, or comes first.
 */
void devcache_bus_begin(void);

/** Put zeros in place of a range, as the signal does. For what must be let go of while
 * somebody may still look at it. */
void devcache_bus_blank(void *from, size_t len);

#endif
