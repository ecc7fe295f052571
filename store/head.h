/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store/head.h
 * Write heads: which open segment the next record goes to, and where in it.
 *
 * Knows the words in shared memory that heads are; which segments become heads, and when
 * they are closed, is for store/slot.c.
 * Locks      None, but what is said to need the alloc lock.
 * Units      Bytes; "units" are of DEVCACHE_RECORD_UNIT.
 */
#ifndef DEVCACHE_STORE_HEAD_H
#define DEVCACHE_STORE_HEAD_H

#include "store/record.h"
#include "store/shared.h"

/** A file as named by the index. */
typedef struct devcache_file_t {
    apr_uint64_t serial;
    devcache_file_kind_t kind;
    apr_uint16_t slot;
} devcache_file_t;

/** Bytes. Who first writes into a chunk of a segment fills it; store/head.c tells why. */
#define DEVCACHE_HEAD_CHUNK (32 << 10)

/** A range of a segment that nobody else writes to. */
typedef struct devcache_range_t {
    devcache_file_t file;
    apr_uint64_t offset; /* bytes */
    apr_size_t zeros; /* bytes, to be written in the same call behind what was asked for;
                            devcache_head_wrote() gives them to the next writer */
    int rolled;       /* 1: took a spare for it; one has to be made */
    devcache_head_t *head;
    apr_uint64_t taken; /* the head's word with this range and its zeros */
    apr_uint32_t mark;  /* by this its writer is counted there */
} devcache_range_t;

/** 1 if a slot is one that the head word @a next leads to. */
static inline int devcache_head_leads(const devcache_shared_t *sh, apr_uint64_t next)
{
    return next >> 48 < sh->g.slots;
}

/** The head whose segment is in @a slot; NULL: none. */
devcache_head_t *devcache_head_at(const devcache_shared_t *sh, unsigned slot);

/** With the alloc lock: let @a head lead to an empty segment. */
void devcache_head_open(devcache_head_t *head, unsigned slot, apr_uint64_t serial);

/** With the alloc lock: let it lead nowhere. */
void devcache_head_close(devcache_head_t *head);

/** With the alloc lock: close the heads that do not lead to an open segment. */
void devcache_head_repair(devcache_shared_t *sh);

/** Alone: the segment in @a slot ends at @a file_len bytes at least. */
void devcache_head_correct(devcache_shared_t *sh, unsigned slot, apr_uint64_t file_len);

/**
 * Reserve @a units at the first head of @a queue that has room.
 * @param idle_only  pass over those that somebody writes to
 * @return 1, and devcache_head_wrote() has to be called when it was written to; 0: none
 */
int devcache_head_reserve(devcache_shared_t *sh, devcache_queue_t queue,
                          apr_uint64_t units, int idle_only, devcache_range_t *range);

/** The range's bytes have been written, or will not be. Zeros behind them are free again. */
void devcache_head_wrote(const devcache_range_t *range);

/**
 * Which head of @a queue is to get a new segment: one without room for @a units, else one
 * that leads nowhere.
 * @param idle_only  as above
 * @param pseen      its word
 * @return NULL: there is none
 */
devcache_head_t *devcache_head_worn(devcache_shared_t *sh, devcache_queue_t queue,
                                    apr_uint64_t units, int idle_only,
                                    apr_uint64_t *pseen);

#endif
