/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file device/rules.h
 * The built-in knowledge of the classifier, as data: rules with their words, and
 * prefixes of Android model numbers. Private to device/device.c.
 *
 * How to read and extend the tables stands at the top of device/rules.c.
 */
#ifndef DEVCACHE_DEVICE_RULES_H
#define DEVCACHE_DEVICE_RULES_H

#include <apr.h>

typedef enum {
    DEVCACHE_KIND_PC,
    DEVCACHE_KIND_TABLET,
    DEVCACHE_KIND_MOBILE,
    DEVCACHE_KIND_TV,
    DEVCACHE_KIND_BOT,
    DEVCACHE_KIND_CONSOLE,
    DEVCACHE_KINDS,
    DEVCACHE_KIND_NONE /* decides nothing: a fact that other rules ask for */
} devcache_kind_t;

/** The order of the rules is their precedence: the first that holds decides. */
typedef enum {
#define RULE(id) DEVCACHE_RULE_##id
    RULE(ANDROID),
    RULE(MOBILE_WORD),
    RULE(WINDOWS),
    RULE(SYSTEM),
    RULE(BROWSER),
    RULE(ENGINE),
    RULE(SAFARI),
    RULE(PUFFIN),
    RULE(NOT_BOT),
    RULE(OLD_BROWSER),
    RULE(NOT_NAME),
    RULE(NOT_TV),
    RULE(NOT_TABLET),
    RULE(BOT),
    RULE(BOT_WORD),
    RULE(TOOL),
    RULE(LINK),
    RULE(COMPATIBLE),
    RULE(HANDHELD),
    RULE(CONSOLE),
    RULE(HEADSET),
    RULE(WEARABLE),
    RULE(CAR),
    RULE(TV),
    RULE(TV_MODEL),
    RULE(TV_ANDROID),
    RULE(TV_LINUX),
    RULE(FEATURE_PHONE),
    RULE(PROFILE),
    RULE(WINDOWS_PHONE),
    RULE(IPAD),
    RULE(IPHONE),
    RULE(MAC_MOBILE),
    RULE(MAC),
    RULE(TABLET_MODEL),
    RULE(TABLET_NUMBER),
    RULE(MOBILE_MODEL),
    RULE(TV_INCH),
    RULE(CHROMEBOOK),
    RULE(TABLET),
    RULE(TABLET_NAME),
    RULE(PUFFIN_TABLET),
    RULE(PUFFIN_PHONE),
    RULE(PHONE),
    RULE(PHONE_NUMBER),
    RULE(WEBVIEW),
    RULE(CHROMEOS),
    RULE(ANDROID_MOBILE),
    RULE(ANDROID_APP),
    RULE(ANDROID_OTHER),
    RULE(MOBILE),
    RULE(BARE),
    RULE(DEFAULT),
#undef RULE
    DEVCACHE_RULES
} devcache_rule_id_t;

typedef struct {
    const char *name;     /* what devcachectl classify -x prints before the word */
    devcache_kind_t kind; /* what it says */
    apr_uint64_t need;    /* rules whose words must have been seen as well, as bits */
    apr_uint64_t bar;     /* rules whose words must not have been seen, as bits */
    const char *words;    /* '|' between; NULL: as soon as @c need and @c bar hold */
} devcache_device_rule_t;

typedef struct {
    devcache_kind_t
        kind; /* tablet, mobile, tv; NONE: a maker's name, to be stepped over */
    const char *prefixes; /* '|' between */
} devcache_device_model_t;

extern const devcache_device_rule_t devcache_device_rules[DEVCACHE_RULES];
extern const devcache_device_model_t devcache_device_models[];
extern const unsigned devcache_device_models_count;

#endif
