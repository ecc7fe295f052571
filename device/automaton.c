/* SPDX-License-Identifier: Apache-2.0 */
#include "device/automaton.h"

#include <string.h>

#include <apr_strings.h>

/*
 * Aho-Corasick, with the failure links resolved into a dense table at build.
 *
 * One row a state, one column a letter. Only bytes that occur in some word have a
 * column of their own, all others share column 0, so 64 columns of 16 bits do for
 * thousands of words, and a step costs two dependent loads and no branch. A sparse
 * table would be a tenth of the size but needs a search per byte; the rows that a
 * real string touches are few and stay in the first-level cache either way.
 *
 * Two words may end at the same byte ("mobile" and "automobile"): word[] names the
 * longest, also[] chains to the shorter ones. States at which a word ends have the highest
 * numbers, so that whether one does is a compare.
 *
 * Life cycle: built at start in one pool, never changed afterwards.
 */

#define LETTERS (1u << DEVCACHE_AUTOMATON_SHIFT)
#define NONE DEVCACHE_AUTOMATON_NONE

typedef struct {
    devcache_automaton_t *a;
    apr_uint16_t *next;
    apr_uint16_t *word;
    apr_uint16_t *also;
    unsigned states;
} builder_t;

static unsigned char fold(unsigned char c)
{
    if (c >= 'A' && c <= 'Z') {
        return (unsigned char)(c - 'A' + 'a');
    }
    return (c == '-' || c == '_') ? ' ' : c;
}

/* Give each byte that occurs in a word its column, the same one for bytes that fold. */
static int number_letters(devcache_automaton_t *a, const devcache_automaton_word_t *words,
                          unsigned n)
{
    unsigned char column[256] = {0};
    unsigned used = 0;
    for (unsigned w = 0; w < n; w++) {
        for (unsigned i = 0; i < words[w].size; i++) {
            unsigned char c = fold((unsigned char)words[w].text[i]);
            if (!column[c]) {
                if (++used == LETTERS) {
                    return 0;
                }
                column[c] = (unsigned char)used;
            }
        }
    }
    for (unsigned c = 0; c < 256; c++) {
        a->letter[c] = column[fold((unsigned char)c)];
    }
    return 1;
}

static void add_word(builder_t *b, const devcache_automaton_word_t *w, unsigned number)
{
    unsigned state = 0;
    for (unsigned i = 0; i < w->size; i++) {
        unsigned at = (state << DEVCACHE_AUTOMATON_SHIFT) |
                      b->a->letter[(unsigned char)w->text[i]];
        if (!b->next[at]) {
            b->next[at] = (apr_uint16_t)b->states++;
        }
        state = b->next[at];
    }
    b->also[number] = b->word[state];
    b->word[state] = (apr_uint16_t)number;
}

/* The words of a shorter state end wherever those of @a state end: append them. */
static void chain_words(builder_t *b, unsigned state, unsigned shorter)
{
    if (b->word[state] == NONE) {
        b->word[state] = b->word[shorter];
        return;
    }
    unsigned w = b->word[state];
    while (b->also[w] != NONE) {
        w = b->also[w];
    }
    b->also[w] = b->word[shorter];
}

/* Breadth first, so that the state to fall back to is complete when it is copied. */
static void resolve_failures(builder_t *b, apr_pool_t *scratch)
{
    apr_uint16_t *fail = apr_pcalloc(scratch, b->states * sizeof(*fail));
    apr_uint16_t *queue = apr_pcalloc(scratch, b->states * sizeof(*queue));
    unsigned head = 0, tail = 0;
    for (queue[tail++] = 0; head < tail; head++) {
        unsigned state = queue[head];
        apr_uint16_t *row = b->next + (state << DEVCACHE_AUTOMATON_SHIFT);
        const apr_uint16_t *other = b->next + (fail[state] << DEVCACHE_AUTOMATON_SHIFT);
        for (unsigned c = 0; c < LETTERS; c++) {
            if (!row[c]) {
                row[c] = state ? other[c] : 0;
                continue;
            }
            fail[row[c]] = state ? other[c] : 0;
            chain_words(b, row[c], fail[row[c]]);
            queue[tail++] = row[c];
        }
    }
}

/* Number the states anew, those at which no word ends first, and copy what is needed. */
static void settle(builder_t *b, apr_pool_t *p, apr_pool_t *scratch)
{
    apr_uint16_t *number = apr_palloc(scratch, b->states * sizeof(*number));
    unsigned used = 0;
    for (int worded = 0; worded <= 1; worded++) {
        b->a->first_worded = used;
        for (unsigned s = 0; s < b->states; s++) {
            if ((b->word[s] != NONE) == worded) {
                number[s] = (apr_uint16_t)used++;
            }
        }
    }
    apr_uint16_t *next = apr_palloc(p,
                                    (used << DEVCACHE_AUTOMATON_SHIFT) * sizeof(*next));
    apr_uint16_t *word = apr_palloc(p, used * sizeof(*word));
    for (unsigned s = 0; s < b->states; s++) {
        const apr_uint16_t *from = b->next + (s << DEVCACHE_AUTOMATON_SHIFT);
        apr_uint16_t *to = next + ((unsigned)number[s] << DEVCACHE_AUTOMATON_SHIFT);
        word[number[s]] = b->word[s];
        for (unsigned c = 0; c < LETTERS; c++) {
            to[c] = number[from[c]];
        }
    }
    b->a->next = next;
    b->a->word = word;
    b->a->also = b->also;
    b->a->states = b->states;
}

const devcache_automaton_t *
devcache_automaton_build(apr_pool_t *p, const devcache_automaton_word_t *words,
                         unsigned n, int anchored)
{
    builder_t b = {apr_pcalloc(p, sizeof(*b.a)), NULL, NULL, NULL, 1};
    apr_size_t most = 1; /* states: one for nothing read, and one a byte at most */
    for (unsigned w = 0; w < n; w++) {
        most += words[w].size;
    }
    if (n >= NONE || most >= NONE || !number_letters(b.a, words, n)) {
        return NULL;
    }
    apr_pool_t *scratch;
    apr_pool_create(&scratch, p);
    b.next = apr_pcalloc(scratch, (most << DEVCACHE_AUTOMATON_SHIFT) * sizeof(*b.next));
    b.word = apr_palloc(scratch, most * sizeof(*b.word));
    memset(b.word, 0xff, most * sizeof(*b.word));
    b.also = apr_palloc(p, (n + 1) * sizeof(*b.also));
    for (unsigned w = 0; w < n; w++) {
        add_word(&b, &words[w], w);
    }
    if (!anchored) {
        resolve_failures(&b, scratch);
    }
    settle(&b, p, scratch);
    apr_pool_destroy(scratch);
    return b.a;
}

unsigned devcache_automaton_walk(const devcache_automaton_t *a, unsigned state,
                                 const unsigned char *s, apr_size_t *pat, apr_size_t size)
{
    const apr_uint16_t *next = a->next;
    const unsigned first_worded = a->first_worded;
    const unsigned char *at = s + *pat, *end = s + size;
    while (at < end) {
        state = next[(state << DEVCACHE_AUTOMATON_SHIFT) | a->letter[*at++]];
        if (state >= first_worded) {
            break;
        }
    }
    *pat = (apr_size_t)(at - s);
    return state;
}
