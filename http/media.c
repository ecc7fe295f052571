/* SPDX-License-Identifier: Apache-2.0 */
#include "http/media.h"

#include <string.h>
#include <strings.h>

#include "http/field.h"

/* What applications make for one visitor. */
static const char *const made[] = {
    "text/html", "application/xhtml+xml", "application/json",
    "text/json", "application/ld+json",   "application/problem+json",
};

/* Endings of files that are the same for all. Documents (.pdf, .csv) are not among them, nor
 * is what is often data (.json, .map, .xml, .txt). */
static const char *const files[] = {
    "avif", "bmp", "css", "eot",  "flac", "gif",  "ico",  "jpeg", "jpg",
    "js",   "mjs", "mp3", "mp4",  "ogg",  "otf",  "png",  "svg",  "svgz",
    "swf",  "tif", "ttf", "wasm", "wav",  "webm", "webp", "woff", "woff2",
};

#define N(array) (sizeof(array) / sizeof(*(array)))

static int is_file(const char *path)
{
    const char *name = strrchr(path, '/');
    const char *ending = strrchr(name ? name : path, '.');
    size_t i;

    for (i = 0; ending && i < N(files); i++) {
        if (strcasecmp(ending + 1, files[i]) == 0) {
            return 1;
        }
    }
    return 0;
}

static int is_one_of(const char *type, const char *const *names, size_t n)
{
    size_t i;

    for (i = 0; type && i < n; i++) {
        size_t len = strlen(names[i]);

        if (strncasecmp(type, names[i], len) == 0 &&
            (!type[len] || strchr("; \t,", type[len]))) {
            return 1;
        }
    }
    return 0;
}

int devcache_media_belies(const char *path, const char *type)
{
    return is_one_of(type, made, N(made)) && is_file(path);
}

int devcache_media_may_be_events(const char *type)
{
    static const char *const rows[] = {
        "application/x-ndjson",    "application/ndjson",    "application/jsonl",
        "application/stream+json", "application/jsonlines", "application/json-seq",
    };

    return is_one_of(type, rows, N(rows));
}

int devcache_media_is_for_data(const char *accept)
{
    static const char *const pages[] = {"text/html", "*/*", "text/*",
                                        "application/xhtml+xml"};
    devcache_slice_t range;
    int any = 0;
    size_t i;

    if (accept && !strncmp(accept, "text/html,", 10)) {
        return 0; /* as all browsers say; sooner than by a walk */
    }
    while (accept && devcache_field_next(&accept, &range)) {
        const char *slash;
        size_t len = 0;

        while (len < range.len && range.data[len] != ';' && range.data[len] != ' ' &&
               range.data[len] != '\t') {
            len++;
        }
        slash = memchr(range.data, '/', len);
        if (!slash || slash + 1 == range.data + len) {
            return 0; /* whatever that means */
        }
        for (i = 0; i < N(pages); i++) {
            if (strlen(pages[i]) == len && !strncasecmp(range.data, pages[i], len)) {
                return 0;
            }
        }
        any = 1;
    }
    return any;
}
