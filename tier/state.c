/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state.
 *
 * A plain file, mapped shared: it outlives processes, restarts and reboots, as positions in
 * streams and the machine's id must. It holds no lock, as a lock in a file would outlive
 * who held it; what needs one uses locks on files, which end with their holder.
 *
 * A reader in another process can meet any word in the middle of a change of several. That
 * does harm to none of them: numbers are shown to people, a name may be half the old and
 * half the new for once, and a position is two words of which one set is complete at any
 * time. After a power failure the file may be older than the store: then the positions are
 * older as well, and purges are applied once more.
 */
#include "tier/state.h"

#include <apr_errno.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>
#include "base/clock.h"

static const char magic[8] = "DCTIER2";

static apr_status_t unmap(void *state)
{
    munmap(state, sizeof(devcache_tier_state_t));
    return APR_SUCCESS;
}

int devcache_tier_state_rename(devcache_tier_state_t *state)
{
    apr_uint64_t id;

    if (apr_generate_random_bytes((unsigned char *)&id, sizeof(id)) != APR_SUCCESS) {
        return 0;
    }
    __atomic_store_n(&state->node, id | 1, __ATOMIC_RELEASE); /* not 0 */
    return 1;
}

/* What differs in a copy of this file on another machine, and after a reboot. */
static apr_uint64_t hash_place(const struct stat *st)
{
    struct {
        char host[256], boot[64];
        apr_uint64_t device, inode;
    } place;
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

    memset(&place, 0, sizeof(place));
    if (gethostname(place.host, sizeof(place.host) - 1) != 0 ||
        (fd >= 0 && read(fd, place.boot, sizeof(place.boot) - 1) < 0)) {
        place.host[0] = '\0';
    }
    if (fd >= 0) {
        close(fd);
    }
    place.device = st->st_dev;
    place.inode = st->st_ino;
    return XXH3_64bits(&place, sizeof(place));
}

/* Make it usable. Two machines with one id would each take the other's purges for its own,
 * so a file that may be a copy gets a new id; positions stay, the store may be a copy too. */
static int settle(devcache_tier_state_t *state, const struct stat *st)
{
    apr_uint64_t place = hash_place(st);

    if (memcmp(state->magic, magic, sizeof(magic)) != 0) {
        memset(state, 0, sizeof(*state));
    }
    if (state->place != place && !devcache_tier_state_rename(state)) {
        return 0;
    }
    state->place = place;
    memcpy(state->magic, magic, sizeof(magic));
    return 1;
}

apr_status_t devcache_tier_state_open(devcache_tier_state_t **pstate, const char *root,
                                      apr_uint32_t uid, apr_uint32_t gid,
                                      const char **perror, apr_pool_t *p)
{
    const char *path = apr_pstrcat(p, root, "/tier-state", NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    devcache_tier_state_t *state = MAP_FAILED;
    int error, fine = 0;
    struct stat st;

    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
        (st.st_uid == uid || fchown(fd, uid, gid) == 0)) {
        /* Allocated, so that a write to the mapping never meets a full volume. */
        error = posix_fallocate(fd, 0, sizeof(*state));
        if (error == 0 || error == EOPNOTSUPP || error == EINVAL) {
            state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        } else {
            errno = error;
        }
    }
    error = errno;
    if (state != MAP_FAILED) {
        fine = settle(state, &st);
    }
    if (fd >= 0) {
        close(fd);
    }
    if (!fine) {
        *perror = apr_psprintf(p,
                               "DevCacheTier: the file %s cannot be used: %s; the "
                               "directory must belong to the server's User and have room",
                               path, strerror(error));
        return error ? error : APR_EGENERAL;
    }
    apr_pool_cleanup_register(p, state, unmap, apr_pool_cleanup_null);
    *pstate = state;
    return APR_SUCCESS;
}

/* ---- servers ------------------------------------------------------------------------- */

devcache_tier_server_t *devcache_tier_state_server(devcache_tier_state_t *state,
                                                   apr_uint64_t url_hash,
                                                   const apr_uint64_t *keep,
                                                   unsigned nkeep)
{
    devcache_tier_server_t *s, *spare = NULL;
    unsigned i, k;

    for (i = 0; i < DEVCACHE_TIER_SERVERS; i++) {
        s = &state->servers[i];
        if (s->url_hash == url_hash) {
            return s;
        }
        for (k = 0; k < nkeep && keep[k] != s->url_hash; k++) {
        }
        if (k == nkeep) {
            spare = s;
        }
    }
    if (spare) {
        memset(spare, 0, sizeof(*spare));
        spare->sent = state
                          ->base; /* all that waits for any other is sent to it as well */
        __atomic_store_n(&spare->url_hash, url_hash, __ATOMIC_RELEASE);
    }
    return spare;
}

devcache_tier_id_t devcache_tier_state_position(const devcache_tier_server_t *server)
{
    return server->positions[__atomic_load_n(&server->position_at, __ATOMIC_ACQUIRE) & 1];
}

void devcache_tier_state_move(devcache_tier_server_t *server, devcache_tier_id_t to)
{
    apr_uint32_t other = !(server->position_at & 1);

    server->positions[other] = to;
    __atomic_store_n(&server->position_at, other, __ATOMIC_RELEASE);
    __atomic_store_n(&server->known, 1, __ATOMIC_RELEASE);
}

/* ---- nodes --------------------------------------------------------------------------- */

devcache_tier_node_t *devcache_tier_state_node(devcache_tier_state_t *state,
                                               apr_uint64_t id)
{
    devcache_tier_node_t *oldest = &state->nodes[0];
    unsigned i;

    for (i = 0; i < DEVCACHE_TIER_NODES; i++) {
        devcache_tier_node_t *n = &state->nodes[i];

        if (n->id == id) {
            return n;
        }
        if (n->seen < oldest->seen) {
            oldest = n;
        }
    }
    memset(oldest, 0, sizeof(*oldest));
    oldest->id = id;
    return oldest;
}

apr_uint64_t devcache_tier_state_latest(const devcache_tier_state_t *state,
                                        apr_uint64_t id)
{
    unsigned i;

    for (i = 0; i < DEVCACHE_TIER_NODES; i++) {
        if (state->latest[i].id == id) {
            return state->latest[i].number;
        }
    }
    return 0;
}

void devcache_tier_state_note(devcache_tier_state_t *state, apr_uint64_t id,
                              apr_uint64_t number)
{
    devcache_tier_applied_t *at = &state->latest[0];
    unsigned i;

    for (i = 0; i < DEVCACHE_TIER_NODES; i++) {
        if (state->latest[i].id == id) {
            state->latest[i].number = number;
            return;
        }
        if (state->latest[i].number < at->number) {
            at = &state->latest[i]; /* the one that has been silent for longest */
        }
    }
    at->id = 0; /* killed here: the other's latest purges are applied once more */
    at->number = number;
    at->id = id;
}

/* ---- waiting --------------------------------------------------------------------------- */

void devcache_tier_state_wait(apr_uint32_t *word, apr_uint32_t seen,
                              apr_interval_time_t timeout)
{
    struct timespec t = {(time_t)(timeout / APR_USEC_PER_SEC),
                         (long)(timeout % APR_USEC_PER_SEC) * 1000};

    if (timeout > 0) {
        syscall(SYS_futex, word, FUTEX_WAIT, seen, &t, NULL, 0);
    }
}

void devcache_tier_state_raise(apr_uint32_t *word)
{
    __atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}
