/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file http/media.h
 * What an answer's media type says against the name that it was asked for by, and a
 * request's Accept about what it is after.
 */
#ifndef DEVCACHE_HTTP_MEDIA_H
#define DEVCACHE_HTTP_MEDIA_H

/**
 * Is this a page or data (HTML, JSON) although the path ends in the name of a stylesheet, a
 * script, a picture, a font or the like? Applications answer for /account with what comes
 * behind it left out: somebody's page, under a name that caches take for everybody's ("web
 * cache deception").
 * @param path  decoded
 * @param type  Content-Type; NULL: none
 */
int devcache_media_belies(const char *path, const char *type);

/**
 * Is this one JSON text after another? Without a length that may be events as they come, as
 * well as an export.
 * @param type  Content-Type; NULL: none
 */
int devcache_media_may_be_events(const char *type);

/**
 * Does Accept leave out pages (HTML) and what may be one? Who asks so wants data, a feed or
 * a picture, and applications may have that at the URL of a page.
 * @param accept  NULL: anything is taken
 */
int devcache_media_is_for_data(const char *accept);

#endif
