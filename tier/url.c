/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URLs of servers: redis://user@host:port/database, rediss:// by TLS, unix:/path.
 */
#include "tier/url.h"

#include <apr_strings.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int number_of(const char *text, long max)
{
    char *end;
    long n = *text >= '0' && *text <= '9' ? strtol(text, &end, 10) : -1;

    return n >= 0 && n <= max && *end == '\0' ? (int)n : -1;
}

static const char *parse_host(char *text, devcache_url_t *url)
{
    char *at = strrchr(text, '@'), *slash, *port;

    if (at) {
        *at = '\0';
        if (strchr(text, ':')) {
            return "has a password in it: put that into the file of DevCacheTierSecret";
        }
        url->user = *text ? text : NULL;
        text = at + 1;
    }
    if ((slash = strchr(text, '/')) != NULL) {
        *slash = '\0';
        if (slash[1] && (url->database = number_of(slash + 1, 65535)) < 0) {
            return "has behind its host what is no number of a database";
        }
    }
    if (*text == '[') {
        char *close = strchr(text, ']');

        if (!close) {
            return "has no ] behind its address";
        }
        *close = '\0';
        text++;
        port = close[1] == ':' ? close + 1 : NULL;
        if (close[1] && !port) {
            return "has something behind the ] that is no port";
        }
    } else {
        port = strchr(text, ':');
    }
    if (port) {
        *port = '\0';
        if ((url->port = number_of(port + 1, 65535)) < 1) {
            return "has no port from 1 to 65535 behind the colon";
        }
    }
    url->host = text;
    return *text ? NULL : "has no host";
}

const char *devcache_url_parse(const char *text, devcache_url_t *url, apr_pool_t *p)
{
    memset(url, 0, sizeof(*url));
    url->text = text;
    url->port = 6379;
    if (!strncmp(text, "unix:/", 6)) {
        url->path = text + 5;
        return strlen(url->path) < 108 ? NULL : "has a path that is too long";
    }
    url->is_tls = !strncmp(text, "rediss://", 9);
    if (!url->is_tls && strncmp(text, "redis://", 8) != 0) {
        return "does not begin with redis://, rediss:// or unix:/";
    }
    return parse_host(apr_pstrdup(p, text + (url->is_tls ? 9 : 8)), url);
}

int devcache_url_is_local(const devcache_url_t *url)
{
    unsigned char address[sizeof(struct in6_addr)];

    if (!url->host || !strcasecmp(url->host, "localhost")) {
        return 1;
    }
    if (inet_pton(AF_INET, url->host, address) == 1) {
        return address[0] == 127;
    }
    return inet_pton(AF_INET6, url->host, address) == 1 &&
           IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)(const void *)address);
}
