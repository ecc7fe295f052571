/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file fields.h
 * Header tables out of text, for tests: "Name: value", a line each.
 */
#ifndef DEVCACHE_TEST_FIELDS_H
#define DEVCACHE_TEST_FIELDS_H

#include <string.h>

#include <apr_strings.h>
#include <apr_tables.h>

static inline apr_table_t *fields(const char *text, apr_pool_t *p)
{
    apr_table_t *t = apr_table_make(p, 8);

    while (*text) {
        const char *name = text, *value = strstr(text, ": ") + 2;
        apr_size_t len = strcspn(value, "\n");
        apr_table_addn(t, apr_pstrmemdup(p, name, (apr_size_t)(value - 2 - name)),
                       apr_pstrmemdup(p, value, len));
        text = value + len + (value[len] == '\n');
    }
    return t;
}

#endif
