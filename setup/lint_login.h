/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file setup/lint_login.h
 * A lifetime of ours for the whole site, and a login that is a part of it.
 *
 * Glue. A check for the table in setup/lint.c.
 */
#ifndef DEVCACHE_SETUP_LINT_LOGIN_H
#define DEVCACHE_SETUP_LINT_LOGIN_H

#include "setup/lint_tree.h"

/** DevCacheDefaultTTL, DevCacheForceTTL. */
devcache_lint_check_fn devcache_lint_beside_a_login;

#endif
