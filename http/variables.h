/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file http/variables.h
 * Which environment variables of a request pages may be made from.
 *
 * Applications behind FastCGI, CGI and the like, and pages of mod_include, are given what
 * SetEnvIf, BrowserMatch, RewriteRule's E= and modules have put into the environment.
 * Ownership  Nothing is allocated.
 */
#ifndef DEVCACHE_HTTP_VARIABLES_H
#define DEVCACHE_HTTP_VARIABLES_H

/**
 * The name without what internal redirects put before it: "REDIRECT_".
 */
const char *devcache_variables_name(const char *name);

/**
 * May pages depend on it? Not on instructions to httpd itself, on what tells one request or
 * connection from another, nor on what the key or the rules for logins cover.
 * @param name  from devcache_variables_name()
 */
int devcache_variables_counts(const char *name);

#endif
