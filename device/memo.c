/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A browser says the same with each request, and most visitors have one of a few hundred
 * browsers: so most answers have been given before. They are given again only where every
 * byte that decided is the same, and the rules are.
 *
 * What is asked for once, as by crawlers that make up their names, displaces nothing: an
 * answer comes in when it is asked for a second time before another one of its slot.
 */
#include "device/memo.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define SLOTS                                                                            \
    1024 /* a power of two; half a MB, of which a process touches what it uses */
#define TEXT_MAX 440 /* longer ones are classified each time */
#define NOT_SENT 0xffffu

enum { TEXTS = 4 };

typedef struct memo_slot_t {
    apr_uint32_t taken;                   /* atomic; guards the rest */
    apr_uint32_t print;                   /* of what was asked for last; relaxed */
    const devcache_device_rules_t *rules; /* NULL: nothing is remembered */
    devcache_device_result_t result;
    unsigned short len[TEXTS];
    char text[TEXT_MAX]; /* those that were sent, one after the other */
} memo_slot_t;

static memo_slot_t *slots;

void devcache_device_memo_start(void)
{
    slots = calloc(SLOTS, sizeof *slots);
}

static int take(memo_slot_t *slot)
{
    return !__atomic_exchange_n(&slot->taken, 1, __ATOMIC_ACQUIRE);
}

static void give_back(memo_slot_t *slot)
{
    __atomic_store_n(&slot->taken, 0, __ATOMIC_RELEASE);
}

/* 0: it is too long. */
static int measure(devcache_device_asked_t *asked)
{
    apr_size_t left = TEXT_MAX;
    int i;

    for (i = 0; i < TEXTS; i++) {
        apr_size_t len = asked->text[i] ? strlen(asked->text[i]) : 0;
        if (len > left) {
            return 0;
        }
        left -= len;
        asked->len[i] = (unsigned short)(asked->text[i] ? len : NOT_SENT);
    }
    return 1;
}

static int is_it(const memo_slot_t *slot, const devcache_device_asked_t *asked)
{
    const char *at = slot->text;
    int i;

    if (slot->rules != asked->rules || memcmp(slot->len, asked->len, sizeof slot->len)) {
        return 0;
    }
    for (i = 0; i < TEXTS; i++) {
        if (asked->text[i]) {
            if (memcmp(at, asked->text[i], asked->len[i])) {
                return 0;
            }
            at += asked->len[i];
        }
    }
    return 1;
}

/* Where it belongs, if the same was asked for lately; from now on it was. */
static memo_slot_t *slot_of(const devcache_device_asked_t *asked)
{
    apr_uint64_t seed, hash;
    apr_uint32_t print;
    memo_slot_t *slot;

    memcpy(&seed, asked->len, sizeof seed);
    hash = XXH3_64bits_withSeed(asked->text[0] ? asked->text[0] : "",
                                asked->text[0] ? asked->len[0] : 0,
                                seed ^ (apr_uint64_t)(apr_uintptr_t)asked->rules);
    slot = &slots[hash & (SLOTS - 1)];
    print = (apr_uint32_t)(hash >> 32);
    if (__atomic_load_n(&slot->print, __ATOMIC_RELAXED) == print) {
        return slot;
    }
    __atomic_store_n(&slot->print, print, __ATOMIC_RELAXED);
    return NULL;
}

int devcache_device_memo_find(const devcache_device_rules_t *rules,
                              const devcache_device_input_t *in,
                              devcache_device_asked_t *asked,
                              devcache_device_result_t *out)
{
    int found = 0;

    asked->rules = rules;
    asked->text[0] = in->user_agent;
    asked->text[1] = in->ch_mobile;
    asked->text[2] = in->ch_platform;
    asked->text[3] = in->ch_form_factors;
    asked->slot = slots && measure(asked) ? slot_of(asked) : NULL;
    if (asked->slot && take(asked->slot)) {
        if (is_it(asked->slot, asked)) {
            *out = asked->slot->result;
            found = 1;
        }
        give_back(asked->slot);
    }
    return found;
}

void devcache_device_memo_put(const devcache_device_asked_t *asked,
                              const devcache_device_result_t *out)
{
    memo_slot_t *slot = asked->slot;
    char *at;
    int i;

    if (!slot || !take(slot)) {
        return;
    }
    slot->rules = asked->rules;
    slot->result = *out;
    memcpy(slot->len, asked->len, sizeof slot->len);
    for (at = slot->text, i = 0; i < TEXTS; i++) {
        if (asked->text[i]) {
            memcpy(at, asked->text[i], asked->len[i]);
            at += asked->len[i];
        }
    }
    give_back(slot);
}
