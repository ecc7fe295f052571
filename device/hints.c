/* SPDX-License-Identifier: Apache-2.0 */
#include "device/hints.h"

#include <string.h>

#include <apr_strings.h>

/*
 * Client Hints gain half a point of accuracy at most, and can only be trusted where they
 * add something: an Android tablet sends "?0" although Chromium's desktop mode does so
 * too, and the form factor "Desktop" is sent by tablets with a keyboard. So "?0" never
 * makes a pc of a phone or tablet, "Desktop" says nothing, and a television, console or
 * bot known by its string stays one whatever its browser's engine claims.
 *
 * The values are structured fields (RFC 9651): a boolean "?1" (section 3.3.6), a string
 * "\"Android\"" (3.3.3), a list of strings (3.1). Bare words are taken as well, as
 * gateways are known to take the quotes off; anything else is malformed and ignored.
 */

static const struct {
    const char *name;
    devcache_kind_t kind;
} hints[DEVCACHE_HINTS] = {
    [DEVCACHE_HINT_WATCH] = {"Sec-CH-UA-Form-Factors: Watch", DEVCACHE_KIND_MOBILE},
    [DEVCACHE_HINT_TABLET] = {"Sec-CH-UA-Form-Factors: Tablet", DEVCACHE_KIND_TABLET},
    [DEVCACHE_HINT_XR] = {"Sec-CH-UA-Form-Factors: XR", DEVCACHE_KIND_PC},
    [DEVCACHE_HINT_MOBILE] = {"Sec-CH-UA-Mobile: ?1", DEVCACHE_KIND_MOBILE},
    [DEVCACHE_HINT_ANDROID] = {"Sec-CH-UA-Mobile: ?0 on Android", DEVCACHE_KIND_TABLET},
};

enum { SAW_WATCH = 1, SAW_TABLET = 2, SAW_XR = 4 };

static const char *skip_space(const char *s)
{
    return s + strspn(s, " \t");
}

/* '0', '1', or 0 if it is no boolean. */
static char boolean(const char *s)
{
    if (!s) {
        return 0;
    }
    s = skip_space(s);
    if (s[0] != '?' || (s[1] != '0' && s[1] != '1') || *skip_space(s + 2)) {
        return 0;
    }
    return s[1];
}

/*
 * Reads one string or bare word. Returns what stands behind it, and the word in *pword;
 * NULL if it is malformed. No known value needs an escape, so '\\' is malformed as well.
 */
static const char *read_item(const char *s, const char **pword, apr_size_t *psize)
{
    int quoted = *s == '"';
    s += quoted;
    *pword = s;
    *psize = strspn(s,
                    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-. ");
    s += *psize;
    if (quoted) {
        return *s == '"' ? skip_space(s + 1) : NULL;
    }
    while (*psize && (*pword)[*psize - 1] == ' ') {
        --*psize;
    }
    return *psize ? s : NULL;
}

static int same_word(const char *word, apr_size_t size, const char *name)
{
    return size == strlen(name) && !strncasecmp(word, name, size);
}

static unsigned form_factor(const char *word, apr_size_t size)
{
    if (same_word(word, size, "Watch")) {
        return SAW_WATCH;
    }
    if (same_word(word, size, "Tablet") || same_word(word, size, "EInk") ||
        same_word(word, size, "Automotive")) {
        return SAW_TABLET;
    }
    return same_word(word, size, "XR") ? SAW_XR : 0;
}

/* The SAW_ bits of a list; 0 if any of it is malformed (RFC 9651, section 4.2). */
static unsigned form_factors(const char *s)
{
    unsigned saw = 0;
    if (!s || strnlen(s, DEVCACHE_DEVICE_HINT_MAX + 1) > DEVCACHE_DEVICE_HINT_MAX) {
        return 0;
    }
    for (s = skip_space(s); *s; s = skip_space(s + 1)) {
        const char *word;
        apr_size_t size;
        s = read_item(s, &word, &size);
        if (!s || (*s && *s != ',')) {
            return 0;
        }
        saw |= form_factor(word, size);
        if (!*s) {
            return saw;
        }
    }
    return 0; /* empty, or a comma at the end */
}

static int is_android(const char *s)
{
    const char *word;
    apr_size_t size;
    if (!s || strnlen(s, DEVCACHE_DEVICE_HINT_MAX + 1) > DEVCACHE_DEVICE_HINT_MAX) {
        return 0;
    }
    s = read_item(skip_space(s), &word, &size);
    return s && !*s && same_word(word, size, "Android");
}

devcache_device_hint_t devcache_device_hints_refine(const devcache_device_input_t *in,
                                                    const devcache_device_answer_t *said)
{
    if (said->kind > DEVCACHE_KIND_MOBILE) {
        return DEVCACHE_HINTS;
    }
    unsigned saw = form_factors(in->ch_form_factors);
    devcache_device_hint_t hint = (saw & SAW_WATCH)    ? DEVCACHE_HINT_WATCH
                                  : (saw & SAW_TABLET) ? DEVCACHE_HINT_TABLET
                                  : (saw & SAW_XR)     ? DEVCACHE_HINT_XR
                                                       : DEVCACHE_HINTS;
    if (hint == DEVCACHE_HINTS && said->kind == DEVCACHE_KIND_PC) {
        char mobile = boolean(in->ch_mobile);
        if (mobile == '1') {
            hint = DEVCACHE_HINT_MOBILE;
        } else if (mobile == '0' && (said->android || is_android(in->ch_platform))) {
            hint = DEVCACHE_HINT_ANDROID;
        }
    }
    if (hint == DEVCACHE_HINTS || hints[hint].kind == said->kind) {
        return DEVCACHE_HINTS; /* agrees with the string: nothing to overrule */
    }
    return hint;
}

devcache_kind_t devcache_device_hints_kind(devcache_device_hint_t hint)
{
    return hints[hint].kind;
}

const char *devcache_device_hints_name(devcache_device_hint_t hint)
{
    return hints[hint].name;
}

/* --- the other way round ------------------------------------------------------------ */

/* Which of the three that hints know; DEVCACHE_KINDS: none. */
static devcache_kind_t kind_named(const char *name)
{
    return !strcmp(name, "pc")       ? DEVCACHE_KIND_PC
           : !strcmp(name, "tablet") ? DEVCACHE_KIND_TABLET
           : !strcmp(name, "mobile") ? DEVCACHE_KIND_MOBILE
                                     : DEVCACHE_KINDS;
}

static int platform_contradicts(const char *s, devcache_kind_t kind)
{
    static const char *const desktops[] = {"Windows", "macOS",     "Mac OS X",
                                           "Linux",   "Chrome OS", "Chromium OS"};
    const char *word;
    apr_size_t size, i;

    s = read_item(skip_space(s), &word, &size);
    if (!s || *s) {
        return 1;
    }
    if (same_word(word, size, "Android") || same_word(word, size, "iOS")) {
        return kind == DEVCACHE_KIND_PC;
    }
    for (i = 0; i < sizeof desktops / sizeof *desktops; i++) {
        if (same_word(word, size, desktops[i])) {
            return kind == DEVCACHE_KIND_MOBILE;
        }
    }
    return 0;
}

const char *devcache_device_contradiction(const devcache_device_input_t *in,
                                          const devcache_device_result_t *said)
{
    devcache_kind_t kind = kind_named(said->kind);
    int is_folded = kind == DEVCACHE_KINDS; /* a television is no pc, a bot no phone */
    unsigned saw = form_factors(in->ch_form_factors);
    char mobile = boolean(in->ch_mobile);

    kind = is_folded ? kind_named(said->class) : kind;
    if (kind == DEVCACHE_KINDS || said->by_cookie) {
        return NULL;
    }
    if (in->ch_mobile && (!mobile || (mobile == '1') != (kind == DEVCACHE_KIND_MOBILE))) {
        return mobile == '0' && (saw & SAW_WATCH) ? NULL : "Sec-CH-UA-Mobile";
    }
    if (in->ch_platform && !is_folded && !(saw & SAW_XR) &&
        platform_contradicts(in->ch_platform, kind)) {
        return "Sec-CH-UA-Platform";
    }
    if (((saw & SAW_TABLET) && kind != DEVCACHE_KIND_TABLET) ||
        ((saw & SAW_WATCH) && kind != DEVCACHE_KIND_MOBILE)) {
        return is_folded ? NULL : "Sec-CH-UA-Form-Factors";
    }
    return NULL;
}
