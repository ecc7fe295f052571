/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file setup/value.h
 * Sizes, durations, flags and names, as directives have them.
 *
 * A directive whose argument is a number or a flag needs no function of its own: its row
 * in setup/directives.c has a slot, which says what unit and bounds the argument has and
 * which field it sets.
 *
 * Glue. Configuration time only.
 */
#ifndef DEVCACHE_SETUP_VALUE_H
#define DEVCACHE_SETUP_VALUE_H

#include <httpd.h>
#include <http_config.h>

typedef enum devcache_unit_e {
    DEVCACHE_UNIT_BYTES,
    DEVCACHE_UNIT_SECONDS,
    DEVCACHE_UNIT_COUNT
} devcache_unit_e;

/* Which field an argument goes to, and what it may be. */
typedef struct devcache_slot_t {
    int per_dir;  /* the field is in a devcache_dir_t, else in a devcache_server_t */
    size_t value; /* its offset */
    size_t size;  /* its size: of an int or of an apr_int64_t */
    size_t by;    /* the offset of its _by pointer */
    devcache_unit_e unit;
    apr_int64_t min, max; /* in the unit as it is written */
} devcache_slot_t;

/** "10", "10M" and the like, in bytes; -1 if it is no such number. */
apr_int64_t devcache_value_bytes(const char *arg);

/**
 * A duration with one of httpd's units (500ms, 5min, 1h), in microseconds.
 * @param unit  of a number without one: "s", "ms"
 * @return -1 if it is none
 */
apr_interval_time_t devcache_value_time(const char *arg, const char *unit);

/** Is it a field name by RFC 9110 section 5.1, of 64 bytes at most? */
int devcache_value_is_token(const char *s);

/** Is an IP address, as text, one that only this machine reaches? */
int devcache_value_is_loopback(const char *ip);

/**
 * A number by the unit and bounds of the directive's slot.
 * @param n  bytes or a count; durations in microseconds
 * @return NULL, or a sentence that names the directive, the value and what is allowed
 */
const char *devcache_value_number(const cmd_parms *cmd, const char *arg, apr_int64_t *n);

/** Setter of a directive with a number; its info is a devcache_slot_t. */
const char *devcache_value_set_number(cmd_parms *cmd, void *dir, const char *arg);

/** Setter of a directive with On or Off; its info is a devcache_slot_t. */
const char *devcache_value_set_flag(cmd_parms *cmd, void *dir, int on);

#endif
