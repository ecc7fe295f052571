/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file request/sections.h
 * The <Location> sections of the URL that was asked for, where another has taken its place.
 *
 * Glue. mod_dir puts the front controller of FallbackResource in the place of a URL before
 * any handler sees it, with the sections of that file's own URL alone, and so does MultiViews
 * with the file that it has chosen. So what <Location> says of the URL asked for would not
 * hold, such as "DevCache Off".
 */
#ifndef DEVCACHE_REQUEST_SECTIONS_H
#define DEVCACHE_REQUEST_SECTIONS_H

#include <httpd.h>

/** Hook type_checker, first: note which URL the sections are of. */
int devcache_sections_note(request_rec *r);

/**
 * Hook fixups, behind mod_dir: where another URL has taken its place, this module's directives
 * in the sections of the one that was asked for hold too, after the other's. Off stays off.
 */
int devcache_sections_keep(request_rec *r);

#endif
