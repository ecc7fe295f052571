/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file device/automaton.h
 * Many words looked for in one pass over a string.
 *
 * Knows words and bytes. Does not know what a word means: words are numbered in
 * the order in which they are given, and a match says only the number.
 * Ownership  Everything lives in the pool given at build.
 * Locks      None: immutable once built, so any number of threads may read it.
 * Folding    Case is ignored (ASCII), and '-', '_' and ' ' are one letter.
 */
#ifndef DEVCACHE_DEVICE_AUTOMATON_H
#define DEVCACHE_DEVICE_AUTOMATON_H

#include <apr_pools.h>

#define DEVCACHE_AUTOMATON_SHIFT 6      /* 64 letters a row: a row is two cache lines */
#define DEVCACHE_AUTOMATON_NONE 0xffffu /* "no word" */

typedef struct {
    const char *text;    /* not NUL-terminated, at least one byte, not copied */
    unsigned short size; /* bytes */
} devcache_automaton_word_t;

/** Readable by the inline functions below only. */
typedef struct {
    unsigned char letter[256]; /* byte to column; 0 is "in no word" */
    const apr_uint16_t *next;  /* [state << SHIFT | letter] is the next state */
    const apr_uint16_t *word;  /* [state] is the longest word that ends there, or NONE */
    const apr_uint16_t
        *also;       /* [word] is the next word that ends where it ends, or NONE */
    unsigned states; /* rows of next, for the curious */
    unsigned
        first_worded; /* the first state at which a word ends; all later ones do so */
} devcache_automaton_t;

/**
 * Build the automaton of @a n words; the same text may be given more than once.
 * @param anchored  words count only from the place where the walk starts; the walk
 *                  is over when the state becomes 0
 * @return the automaton in @a p; NULL if there are more than 65,534 words or states or
 *         more than 63 different letters, which only a wrong table can cause
 */
const devcache_automaton_t *
devcache_automaton_build(apr_pool_t *p, const devcache_automaton_word_t *words,
                         unsigned n, int anchored);

/** The state after one more byte; the first state is 0. */
static inline unsigned devcache_automaton_step(const devcache_automaton_t *a,
                                               unsigned state, unsigned char byte)
{
    return a->next[(state << DEVCACHE_AUTOMATON_SHIFT) | a->letter[byte]];
}

/**
 * Go on from @a state at s[*pat] until a word ends, or the string of @a size bytes does;
 * *pat is then behind the byte that was read last.
 * @return the state; the string has ended without a word if there is none in word[]
 */
unsigned devcache_automaton_walk(const devcache_automaton_t *a, unsigned state,
                                 const unsigned char *s, apr_size_t *pat,
                                 apr_size_t size);

#endif
