/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file device/device.h
 * Which device class sent a request: pc, tablet, mobile, or what the administrator adds.
 *
 * Knows header values. Does not know httpd, requests or caching.
 * Ownership  Rules live in the pool of devcache_device_create(); configured at start,
 *            immutable and shared by all threads after devcache_device_compile().
 *            A result points to text that lives as long as the rules.
 * Locks      None.
 * Units      Sizes in bytes.
 * Errors     Configuration calls return NULL or one sentence for the administrator, in
 *            the pool of the rules. Classifying cannot fail: on doubt it says pc.
 */
#ifndef DEVCACHE_DEVICE_DEVICE_H
#define DEVCACHE_DEVICE_DEVICE_H

#include <apr_pools.h>
#include <apr_tables.h>

typedef struct devcache_device_rules_t devcache_device_rules_t;

/** What decides. Any may be NULL; all are the client's and may be hostile. */
typedef struct {
    const char *user_agent;      /* User-Agent; read up to 1 KB */
    const char *ch_mobile;       /* Sec-CH-UA-Mobile */
    const char *ch_platform;     /* Sec-CH-UA-Platform */
    const char *ch_form_factors; /* Sec-CH-UA-Form-Factors */
    const char *cookie;          /* Cookie, the whole field */
} devcache_device_input_t;

typedef struct {
    const char *class; /* what origin, cache key and log see: after folding */
    const char *kind;  /* before folding: pc, tablet, mobile, tv, bot, console or own */
    const char *rule;  /* what decided, for people; static or configuration text */
    int by_cookie;     /* the visitor's own choice decided */
    int by_hints;      /* a Client Hint changed what the User-Agent said */
} devcache_device_result_t;

/** Rules with the built-in ones only: tv and console fold to pc, bot by-agent. */
devcache_device_rules_t *devcache_device_create(apr_pool_t *p);

/**
 * Append an own rule; own rules are tried in order, before the built-in ones.
 * @param class  a known or new class: [a-z0-9_-], 1 to 32 long, upper case is folded
 * @param regex  PCRE2, as written: unanchored, case matters unless it says (?i)
 * @return NULL, or why not: for a bad pattern the offset and PCRE2's words
 */
const char *devcache_device_add_rule(devcache_device_rules_t *rules, const char *class,
                                     const char *regex);

/**
 * Show class @a from as @a to. @a to is a class, "by-agent" (bot only: the device that
 * the bot imitates) or "off"; @a from "off" takes back all folds, the default ones too.
 * Unknown names are reported by devcache_device_compile(), as rules may still follow.
 */
const char *devcache_device_fold(devcache_device_rules_t *rules, const char *from,
                                 const char *to);

/** The cookie by which a visitor chooses a class; a token of RFC 6265, section 4.1.1. */
const char *devcache_device_set_cookie(devcache_device_rules_t *rules, const char *name);

/** Whether Client Hints refine the User-Agent's answer; off at first. */
void devcache_device_use_hints(devcache_device_rules_t *rules, int on);

/**
 * Freeze the rules; nothing but classify may be called afterwards.
 * @param p         lives at least as long as the rules; the built-in automaton is made
 *                  once per pool, so give all vhosts the same one
 * @param warnings  of const char *: own rules that can never match. May be NULL.
 * @return NULL, or a sentence about folds to or from unknown classes, or in a circle
 */
const char *devcache_device_compile(devcache_device_rules_t *rules, apr_pool_t *p,
                                    apr_array_header_t *warnings);

/** Class number @a i of those that classify can return, the same text; NULL: no more. */
const char *devcache_device_class(const devcache_device_rules_t *rules, unsigned i);

/** Classify. Any thread; allocates nothing that outlives the call; bounded time. */
void devcache_device_classify(const devcache_device_rules_t *rules,
                              const devcache_device_input_t *in,
                              devcache_device_result_t *out);

/** Whether @a class (lower case) is one that classify can return, after folding. */
int devcache_device_known(const devcache_device_rules_t *rules, const char *class);

/**
 * The request field that may tell an origin another device than the class says: a hint
 * that contradicts it, or is malformed and so read in who knows which way. What such a
 * request fetches is not the page of its class. Not asked of own classes and of what the
 * visitor has chosen, of which hints know nothing.
 * @param in  each field with all its lines as one
 * @return the field's name, static; NULL: they agree
 */
const char *devcache_device_contradiction(const devcache_device_input_t *in,
                                          const devcache_device_result_t *said);

#endif
