/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/log.h"

#include <http_core.h>
#include <http_main.h>
#include "base/clock.h"
#include "mod_devcache.h"
#include "stats/trouble.h"

void devcache_log_core(int level, int tag, apr_status_t rv, const char *msg)
{
    if (level <= APLOG_WARNING) {
        devcache_trouble_note(msg, NULL, devcache_now());
    }
    ap_log_error(APLOG_MARK, level, rv, ap_server_conf, "DC%04d: %s", tag, msg);
}
