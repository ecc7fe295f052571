/* SPDX-License-Identifier: Apache-2.0 */
/* devcache_effect: what an answer does to what is stored. */
#include "http/effect.h"

#include "http/policy.h"
#include "tap.h"

enum { STRANGER, MEMBER, REFRESH };

static void test_table(void)
{
    static const struct {
        const char *what, *method;
        int status;
        devcache_reason_e reason;
        int who, confirms, fresh;
        devcache_effect_e want;
    } t[] = {
#define OF(m, s, r) m, s, DEVCACHE_REASON_##r
#define DOES(e) DEVCACHE_EFFECT_##e
        {"a page", OF("GET", 200, NONE), STRANGER, 0, 0, DOES(STORE)},
        {"a page for a member", OF("GET", 200, NONE), MEMBER, 0, 1, DOES(STORE)},
        {"a page in the background", OF("GET", 200, NONE), REFRESH, 0, 0, DOES(STORE)},
        {"404 with a lifetime", OF("GET", 404, NONE), STRANGER, 0, 0, DOES(STORE)},
        {"304", OF("GET", 200, NONE), STRANGER, 1, 0, DOES(CONFIRM)},
        {"304 to a refresh", OF("GET", 200, NONE), REFRESH, 1, 0, DOES(CONFIRM)},
        {"HEAD, the same", OF("HEAD", 200, NONE), STRANGER, 1, 0, DOES(CONFIRM)},

        {"404", OF("GET", 404, NO_FRESHNESS), STRANGER, 0, 0, DOES(END)},
        {"404, fresh copy", OF("GET", 404, NO_FRESHNESS), STRANGER, 0, 1, DOES(END)},
        {"410 to a refresh", OF("GET", 410, NO_FRESHNESS), REFRESH, 0, 0, DOES(END)},
        {"404 for a member", OF("GET", 404, EXPIRED), MEMBER, 0, 0, DOES(END)},
        {"no lifetime", OF("GET", 200, NO_FRESHNESS), STRANGER, 0, 0, DOES(END)},
        {"too large", OF("GET", 200, TOO_LARGE), REFRESH, 0, 0, DOES(END)},
        {"malformed", OF("GET", 200, CONFLICT), STRANGER, 0, 0, DOES(END)},
        {"403", OF("GET", 403, STATUS), STRANGER, 0, 0, DOES(END)},
        {"302", OF("GET", 302, STATUS), STRANGER, 0, 0, DOES(END)},

        {"403 for a member", OF("GET", 403, STATUS), MEMBER, 0, 0, DOES(NONE)},
        {"302 for a member", OF("GET", 302, STATUS), MEMBER, 0, 0, DOES(NONE)},
        {"401 to a refresh", OF("GET", 401, STATUS), REFRESH, 0, 0, DOES(NONE)},
        {"403 to a refresh", OF("GET", 403, STATUS), REFRESH, 0, 0, DOES(NONE)},
        {"407 to a refresh", OF("GET", 407, STATUS), REFRESH, 0, 0, DOES(NONE)},
        {"301 to a refresh", OF("GET", 301, NO_FRESHNESS), REFRESH, 0, 0, DOES(NONE)},

        {"500", OF("GET", 500, STATUS), STRANGER, 0, 0, DOES(NONE)},
        {"503", OF("GET", 503, STATUS), REFRESH, 0, 0, DOES(NONE)},
        {"501", OF("GET", 501, NO_FRESHNESS), STRANGER, 0, 0, DOES(NONE)},
        {"408", OF("GET", 408, STATUS), STRANGER, 0, 0, DOES(NONE)},
        {"425", OF("GET", 425, STATUS), STRANGER, 0, 0, DOES(NONE)},
        {"429", OF("GET", 429, STATUS), STRANGER, 0, 1, DOES(NONE)},
        {"206", OF("GET", 206, PARTIAL), STRANGER, 0, 0, DOES(NONE)},
        {"226", OF("GET", 226, STATUS), STRANGER, 0, 0, DOES(NONE)},
        {"304, to the client", OF("GET", 304, STATUS), STRANGER, 0, 0, DOES(NONE)},
        {"412", OF("GET", 412, STATUS), STRANGER, 0, 0, DOES(NONE)},
        {"416", OF("GET", 416, STATUS), STRANGER, 0, 0, DOES(NONE)},

        {"a member's own", OF("GET", 200, PRIVATE), MEMBER, 0, 0, DOES(NONE)},
        {"a login's own", OF("GET", 200, AUTHORIZATION), MEMBER, 0, 0, DOES(NONE)},
        {"a cookie's own", OF("GET", 200, COOKIE), MEMBER, 0, 0, DOES(NONE)},
        {"private, fresh copy", OF("GET", 200, PRIVATE), STRANGER, 0, 1, DOES(NONE)},
        {"a cookie is set", OF("GET", 200, SET_COOKIE), STRANGER, 0, 0, DOES(NONE)},
        {"and in a refresh", OF("GET", 200, SET_COOKIE), REFRESH, 0, 0, DOES(NONE)},
        {"an odd request's", OF("GET", 200, ODD_REQUEST), STRANGER, 0, 0, DOES(NONE)},
        {"an odd one's 404", OF("GET", 404, ODD_REQUEST), STRANGER, 0, 0, DOES(NONE)},
        {"led elsewhere", OF("GET", 200, REDIRECTED), REFRESH, 0, 0, DOES(NONE)},
        {"private for all", OF("GET", 200, PRIVATE), STRANGER, 0, 0, DOES(END)},
        {"no-store now", OF("GET", 200, NO_STORE), REFRESH, 0, 0, DOES(END)},
        {"304, private now", OF("GET", 200, PRIVATE), REFRESH, 1, 0, DOES(END)},
        {"304, a member's own", OF("GET", 200, PRIVATE), MEMBER, 1, 0, DOES(NONE)},

        {"HEAD, another length", OF("HEAD", 200, METHOD), STRANGER, 0, 0, DOES(NONE)},
        {"the same, fresh copy", OF("HEAD", 200, METHOD), STRANGER, 0, 1, DOES(EXPIRE)},
        {"HEAD, 404", OF("HEAD", 404, METHOD), STRANGER, 0, 0, DOES(NONE)},
        {"HEAD, 410, fresh copy", OF("HEAD", 410, METHOD), STRANGER, 0, 1, DOES(EXPIRE)},
        {"HEAD, 503, fresh copy", OF("HEAD", 503, METHOD), STRANGER, 0, 1, DOES(NONE)},

        {"POST", OF("POST", 200, METHOD), STRANGER, 0, 1, DOES(INVALIDATE)},
        {"PUT", OF("PUT", 204, METHOD), MEMBER, 0, 1, DOES(INVALIDATE)},
        {"a redirect after POST", OF("POST", 303, METHOD), MEMBER, 0, 0,
         DOES(INVALIDATE)},
        {"an unknown method", OF("FOO", 200, METHOD), STRANGER, 0, 0, DOES(INVALIDATE)},
        {"a POST that failed", OF("POST", 403, METHOD), STRANGER, 0, 0, DOES(NONE)},
        {"OPTIONS", OF("OPTIONS", 200, METHOD), STRANGER, 0, 1, DOES(NONE)},
    };
    apr_size_t i;

    for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
        devcache_answer_t a = {t[i].method,        t[i].status, t[i].reason,
                               t[i].confirms,      t[i].fresh,  t[i].who == MEMBER,
                               t[i].who == REFRESH};

        is_int(devcache_effect_of(&a), t[i].want, t[i].what);
    }
}

int main(void)
{
    test_table();
    return done_testing();
}
