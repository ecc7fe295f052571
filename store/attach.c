/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a root: alone or beside another server.
 *
 * The file `lock` tells. A process that gets it exclusively is alone: no mutex is held,
 * no fill is under way, nobody maps the index. It may therefore make all locks anew,
 * link the index anew, believe the directory more than the table of slots, or throw the
 * index away. It then holds the lock shared until it ends or lets go of the root; each
 * child holds it by a descriptor of its own. A process that does not get it exclusively
 * waits for it shared and takes the index as it is, if the process numbers there mean the
 * same to it: liveness of those that fill rests on them.
 *
 * The step from exclusive to shared is not atomic. Somebody may get in between, be alone
 * in turn and replace the index; so whoever was alone looks whether the index it mapped
 * is still the one in the directory, and starts over if not.
 *
 * What a lone process does with what it finds:
 *
 *     index good             settles the files (store/settle.c): a warm start
 *     good, of another size  settles the files and carries over into a new index what
 *                            fits there (store/carry.c)
 *     missing, damaged, of   deletes all segments and bodies and makes a new index: a
 *     another version        cold cache. Without the index nobody knows what was purged.
 */
#include "store/attach.h"

#include <apr_errno.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/bus.h"
#include "base/process.h"
#include "store/carry.h"
#include "store/evict.h"
#include "store/index.h"
#include "store/mapping.h"
#include "store/say.h"
#include "store/segment.h"
#include "store/settle.h"
#include "store/spec.h"
#include "store/volume.h"

#define SEGMENT_MIN (64u << 10)
#define SEGMENTS_MIN 8
#define SEGMENTS_MAX 32768
#define OBJECTS_MIN 64
#define OBJECTS_MAX (1u << 28)

#define LOCK_TRIES 500
#define LOCK_PAUSE (20 * 1000) /* microseconds; 10 s in all */

/* ---- what was configured ---------------------------------------------------- */

static apr_uint64_t clamp(apr_uint64_t v, apr_uint64_t low, apr_uint64_t high)
{
    return v < low ? low : v > high ? high : v;
}

static apr_uint64_t default_segment(apr_uint64_t size)
{
    apr_uint64_t p = 256u << 10;

    while (p * 2 <= clamp(size / 128, 256u << 10, 64u << 20)) {
        p *= 2;
    }
    return p;
}

static const char *choose_sizes(devcache_root_t *s, apr_pool_t *p)
{
    const devcache_store_conf_t *conf = &s->conf;
    apr_uint64_t segment = conf->segment_size & ~(apr_uint64_t)4095; /* whole pages */
    apr_uint64_t objects = conf->max_objects;

    if (conf->segment_size == 0) {
        segment = default_segment(conf->size);
    }
    if (segment < SEGMENT_MIN || segment > DEVCACHE_SEGMENT_MAX) {
        return apr_psprintf(p,
                            "DevCacheSegmentSize: %" APR_UINT64_T_FMT
                            " is not a number of bytes from %u to %u",
                            conf->segment_size, SEGMENT_MIN, DEVCACHE_SEGMENT_MAX);
    }
    if (conf->size / segment < SEGMENTS_MIN || conf->size / segment > SEGMENTS_MAX) {
        return apr_psprintf(p,
                            "DevCacheSize: %" APR_UINT64_T_FMT " is not from %d to %d "
                            "times the segment size of %" APR_UINT64_T_FMT " bytes",
                            conf->size, SEGMENTS_MIN, SEGMENTS_MAX, segment);
    }
    if (objects == 0) {
        objects = clamp(conf->size / 8192, 4096, 16u << 20);
    }
    if (objects < OBJECTS_MIN || objects > OBJECTS_MAX) {
        return apr_psprintf(
            p, "DevCacheMaxObjects: %" APR_UINT64_T_FMT " is not a number from %u to %u",
            objects, OBJECTS_MIN, OBJECTS_MAX);
    }
    devcache_shared_plan(&s->g, conf->size, segment, objects);
    s->record_max = clamp(segment / 16, 0, DEVCACHE_RECORD_MAX);
    s->body_max = conf->size / 4;
    return NULL;
}

/* @param prv  errno where the directory cannot be opened, else APR_EINVAL */
static const char *open_root(devcache_root_t *s, apr_status_t *prv, apr_pool_t *p)
{
    const char *root = s->conf.root;
    char text[120];
    struct stat st;

    *prv = APR_EINVAL;
    s->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (s->root_fd < 0 || fstat(s->root_fd, &st) != 0) {
        *prv = errno;
        return apr_psprintf(
            p,
            *prv == EACCES ? "DevCacheRoot \"%s\" cannot be opened: %s; it must belong "
                             "to user %lu, as whom the server runs, and be within reach"
                           : "DevCacheRoot \"%s\" is not a directory that can be "
                             "opened: %s; create it for user %lu, not as a symbolic "
                             "link",
            root, apr_strerror(*prv, text, sizeof(text)), (unsigned long)s->conf.uid);
    }
    s->device = st.st_dev;
    s->inode = st.st_ino;
    if (st.st_uid != s->conf.uid) {
        return apr_psprintf(p,
                            "DevCacheRoot \"%s\" belongs to user %lu: give it to user "
                            "%lu, as whom the server runs",
                            root, (unsigned long)st.st_uid, (unsigned long)s->conf.uid);
    }
    if (st.st_mode & (S_IWGRP | S_IWOTH)) {
        return apr_psprintf(p,
                            "DevCacheRoot \"%s\" can be written by others (mode %03o): "
                            "chmod 700 it",
                            root, (unsigned)st.st_mode & 0777);
    }
    return NULL;
}

apr_status_t devcache_store_check(const devcache_store_conf_t *conf, const char **perror,
                                  apr_pool_t *p)
{
    devcache_root_t *s = apr_pcalloc(p, sizeof(*s));
    apr_status_t rv = APR_EINVAL;

    s->conf = *conf;
    s->root_fd = -1;
    *perror = choose_sizes(s, p);
    if (!*perror) {
        *perror = open_root(s, &rv, p);
        rv = rv == APR_EINVAL ? APR_EACCES : rv;
    }
    if (s->root_fd >= 0) {
        close(s->root_fd);
    }
    return *perror ? rv : APR_SUCCESS;
}

static const char *open_lock(devcache_root_t *s, apr_pool_t *p)
{
    int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    char text[120];
    struct stat st;

    s->lock_fd = openat(s->root_fd, "lock", flags, 0600);
    if (s->lock_fd < 0 || fstat(s->lock_fd, &st) != 0) {
        return apr_psprintf(p, "DevCacheRoot \"%s\": cannot open the file lock there: %s",
                            s->conf.root, apr_strerror(errno, text, sizeof(text)));
    }
    if (!S_ISREG(st.st_mode) || st.st_nlink != 1) {
        return apr_psprintf(p,
                            "DevCacheRoot \"%s\": lock there is not a plain file of its "
                            "own: remove it",
                            s->conf.root);
    }
    if (geteuid() == 0 && fchown(s->lock_fd, s->conf.uid, s->conf.gid) != 0) {
        return apr_psprintf(p,
                            "DevCacheRoot \"%s\": cannot give the file lock to user %lu",
                            s->conf.root, (unsigned long)s->conf.uid);
    }
    return NULL;
}

typedef struct attempt_t {
    devcache_root_t *root;
    const char *error;
    apr_pool_t *p; /* gone when the attempt is over */
} attempt_t;

/* ---- alone ------------------------------------------------------------------ */

static apr_status_t refuse(attempt_t *a, apr_status_t rv, const char *sentence)
{
    char text[120];

    a->error = apr_psprintf(a->p, sentence, a->root->conf.root,
                            apr_strerror(rv, text, sizeof(text)));
    return rv;
}

static apr_status_t refuse_index(attempt_t *a, apr_status_t rv)
{
    return refuse(a, rv,
                  apr_psprintf(a->p,
                               "DevCacheRoot \"%%s\": cannot make the index, a file of "
                               "%" APR_SIZE_T_FMT " bytes, there: %%s; see to the "
                               "directory's owner and room, or lower DevCacheMaxObjects",
                               devcache_shared_size(&a->root->g)));
}

static apr_uint64_t random_number(void)
{
    apr_uint64_t n = 0;

    apr_generate_random_bytes((unsigned char *)&n, sizeof(n));
    return n | 1;
}

/* A new index, empty. @a old: the one before, for its hashes and its id, or NULL */
static apr_status_t make_index(devcache_root_t *s, devcache_shared_t *sh,
                               const devcache_shared_t *old, apr_uint64_t first_serial)
{
    apr_status_t rv = devcache_mapping_create(s, sh, &s->g);

    if (rv == APR_SUCCESS) {
        devcache_shared_format(sh, old ? old->head->seed : random_number(),
                               old ? old->head->id : random_number(), first_serial);
        devcache_shared_renew_locks(sh);
    }
    return rv;
}

/* The old index, settled, makes way for one of the size that is wanted now. */
static apr_status_t resize(devcache_root_t *s)
{
    devcache_shared_t to = {{0}};
    apr_uint64_t before = devcache_index_objects(&s->sh);
    apr_status_t rv = make_index(s, &to, &s->sh, s->sh.head->next_serial);

    if (rv == APR_SUCCESS) {
        rv = devcache_carry_over(s, &to);
    }
    if (rv == APR_SUCCESS) {
        rv = devcache_mapping_install(s);
    }
    if (rv != APR_SUCCESS) {
        devcache_shared_unmap(&to);
        return rv;
    }
    devcache_shared_unmap(&s->sh);
    devcache_shared_hand_over(&s->sh, &to);
    devcache_store_say(&s->conf, DEVCACHE_LOG_NOTICE, 210, APR_SUCCESS,
                       "store: \"%s\" has other sizes than before: %llu of %llu stored "
                       "responses were carried over",
                       s->conf.root, (unsigned long long)devcache_index_objects(&s->sh),
                       (unsigned long long)before);
    return APR_SUCCESS;
}

/* @a why: what is the matter with the index; nothing is lost where there was nothing */
static apr_status_t begin_cold(attempt_t *a, const apr_array_header_t *list,
                               const char *why)
{
    devcache_root_t *s = a->root;
    apr_status_t rv;

    devcache_settle_delete(s, list);
    rv = make_index(s, &s->sh, NULL, devcache_settle_next_serial(list));
    if (rv == APR_SUCCESS) {
        devcache_index_relink_all(&s->sh);
        rv = devcache_mapping_install(s);
    }
    if (rv != APR_SUCCESS) {
        return refuse_index(a, rv);
    }
    if (list->nelts || !strstr(why, "missing")) {
        devcache_store_say(&s->conf, DEVCACHE_LOG_WARNING, 211, APR_SUCCESS,
                           "store: the index of \"%s\" %s: its %d files of stored "
                           "responses were deleted, and the cache fills again",
                           s->conf.root, why, list->nelts);
    }
    return APR_SUCCESS;
}

/* What was found is made fit for use. @return 0: it is not to be used; see @a pwhy */
static int take_index(attempt_t *a, apr_array_header_t **plist, const char **pwhy)
{
    devcache_root_t *s = a->root;

    if (!devcache_spec_sound(&s->sh)) {
        *pwhy = "is damaged";
        return 0;
    }
    devcache_shared_renew_locks(&s->sh);
    devcache_settle_slots(s, *plist);
    devcache_index_relink_all(&s->sh);
    if (memcmp(&s->sh.g, &s->g, sizeof(s->g)) == 0) {
        return 1;
    }
    if (resize(s) != APR_SUCCESS || devcache_settle_list(s, plist, a->p) != APR_SUCCESS) {
        *pwhy = "is of another size and could not be carried over";
        return 0;
    }
    devcache_settle_slots(s, *plist);
    return 1;
}

/* The same for one of whose pages some may not be had: then it is not believed at all. */
static int take_whole_index(attempt_t *a, apr_array_header_t **plist, const char **pwhy)
{
    int taken = take_index(a, plist, pwhy);

    if (__atomic_load_n(&a->root->sh.broken, __ATOMIC_ACQUIRE)) {
        *pwhy = "cannot be read";
        return 0;
    }
    return taken;
}

static devcache_volume_t volume_of(const devcache_root_t *s)
{
    devcache_volume_t v = {s->conf.root, s->conf.volumes};

    return v;
}

/* Is it the right directory? Asked before any file is made there. */
static const char *wrong_place(attempt_t *a)
{
    devcache_volume_t v = volume_of(a->root);
    devcache_shared_t sh = {{0}};
    apr_uint64_t id = 0;
    const char *why;

    if (devcache_mapping_open(a->root, &sh, &why) == APR_SUCCESS) {
        id = sh.head->id;
        devcache_shared_unmap(&sh);
    }
    return devcache_volume_away(&v, id, a->p);
}

static apr_status_t attach_alone(attempt_t *a)
{
    devcache_root_t *s = a->root;
    apr_array_header_t *list;
    const char *why;
    apr_status_t rv;

    devcache_mapping_open(s, &s->sh, &why);
    rv = devcache_settle_list(s, &list, a->p);
    if (rv != APR_SUCCESS) {
        return refuse(a, rv, "DevCacheRoot \"%s\": cannot read it: %s");
    }
    if (!s->sh.head || !take_whole_index(a, &list, &why)) {
        devcache_shared_unmap(&s->sh);
        rv = begin_cold(a, list, why);
    }
    if (rv == APR_SUCCESS) {
        s->sh.head->world = devcache_process_world();
    }
    return rv;
}

/* ---- either way ------------------------------------------------------------- */

static apr_status_t attach_as_peer(attempt_t *a)
{
    devcache_root_t *s = a->root;
    const char *why;
    apr_status_t rv = devcache_mapping_open(s, &s->sh, &why);

    if (rv != APR_SUCCESS) {
        return refuse(a, APR_EBUSY,
                      apr_pstrcat(a->p, "DevCacheRoot \"%s\": its index ", why,
                                  ", while another process uses it: it is made anew as "
                                  "soon as that has ended",
                                  NULL));
    }
    if (s->sh.head->world != devcache_process_world()) {
        return refuse(
            a, APR_EBUSY,
            "DevCacheRoot \"%s\" is in use by a server in another PID namespace "
            "(another container): give each a directory of its own");
    }
    if (memcmp(&s->sh.g, &s->g, sizeof(s->g)) != 0) {
        return refuse(a, APR_EBUSY,
                      "DevCacheRoot \"%s\" is in use by another server with other sizes: "
                      "give both the same DevCacheSize, DevCacheSegmentSize and "
                      "DevCacheMaxObjects, or stop it");
    }
    return APR_SUCCESS;
}

static apr_status_t take_lock_and_index(attempt_t *a)
{
    devcache_root_t *s = a->root;
    apr_status_t rv;
    int tries;

    for (tries = 0; tries < LOCK_TRIES; tries++) {
        if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0) {
            rv = attach_alone(a);
            flock(s->lock_fd, LOCK_SH);
            if (rv != APR_SUCCESS || devcache_mapping_current(s, &s->sh)) {
                return rv;
            }
            devcache_shared_unmap(&s->sh);
        } else if (flock(s->lock_fd, LOCK_SH | LOCK_NB) == 0) {
            return attach_as_peer(a);
        } else {
            apr_sleep(LOCK_PAUSE); /* somebody is alone and repairs */
        }
    }
    return refuse(a, APR_TIMEUP,
                  "DevCacheRoot \"%s\" is being repaired by another server and not ready "
                  "in time");
}

const char *devcache_attach_refused(const devcache_store_conf_t *conf, apr_pool_t *p)
{
    devcache_root_t *s = apr_pcalloc(p, sizeof(*s));

    s->conf = *conf;
    return choose_sizes(s, p);
}

static apr_status_t attach(attempt_t *a)
{
    devcache_root_t *s = a->root;
    apr_status_t rv = APR_EINVAL;

    a->error = choose_sizes(s, a->p);
    if (a->error) {
        return APR_EINVAL;
    }
    devcache_bus_begin();
    if ((a->error = open_root(s, &rv, a->p)) != NULL ||
        (a->error = wrong_place(a)) != NULL || (a->error = open_lock(s, a->p)) != NULL) {
        return rv == APR_EINVAL ? APR_EACCES : rv;
    }
    return take_lock_and_index(a);
}

apr_status_t devcache_attach(devcache_root_t **proot, const devcache_store_conf_t *conf,
                             const char **perror, apr_pool_t *p)
{
    devcache_root_t *s = calloc(1, sizeof(*s));
    attempt_t a = {s, NULL, p};
    devcache_volume_t v;
    apr_status_t rv;

    *proot = NULL;
    *perror = NULL;
    if (!s) {
        *perror = "not enough memory to open the cache";
        return APR_ENOMEM;
    }
    s->conf = *conf;
    s->root_fd = s->lock_fd = -1;
    pthread_mutex_init(&s->open_lock, NULL);
    rv = attach(&a);
    if (rv == APR_SUCCESS && __atomic_load_n(&s->sh.broken, __ATOMIC_ACQUIRE)) {
        rv = refuse(&a, EIO, "DevCacheRoot \"%s\": its index cannot be read: %s");
    }
    if (rv != APR_SUCCESS) {
        *perror = a.error;
        devcache_attach_end(s);
        return rv;
    }
    v = volume_of(s);
    devcache_volume_remember(&v, s->sh.head->id, p);
    devcache_mapping_keep_resident(s);
    devcache_evict_restock(s);
    *proot = s;
    return APR_SUCCESS;
}

/* ---- afterwards ------------------------------------------------------------- */

void devcache_attach_make_hot(devcache_root_t *s, apr_size_t memory)
{
    if (memory > 0) {
        apr_pool_create_unmanaged(&s->hot_pool);
        s->hot = devcache_hot_create(memory, s->hot_pool);
    }
}

/* A lock of its own: the one that was inherited is its parent's, and would be held until
 * both have let go of it. */
void devcache_attach_inherit(devcache_root_t *s)
{
    int fd = openat(s->root_fd, "lock", O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

    pthread_mutex_init(&s->open_lock, NULL);
    if (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) == 0) {
        close(s->lock_fd);
        s->lock_fd = fd;
    } else if (fd >= 0) {
        close(fd);
    }
}

/* errno as words, for a sentence. */
static const char *words_of(int error, apr_pool_t *p)
{
    char text[120];

    return apr_pstrdup(p, apr_strerror(error, text, sizeof(text)));
}

const char *devcache_attach_outdated(const devcache_root_t *s, apr_pool_t *p)
{
    const char *root = s->conf.root;
    struct stat st;
    int reached;

    if (__atomic_load_n(&s->sh.broken, __ATOMIC_ACQUIRE)) {
        return apr_psprintf(
            p,
            "DevCacheRoot \"%s\": its index cannot be read or written any "
            "more; see to the disk",
            root);
    }
    /* A child may not be allowed to follow the path that its parent has followed. */
    reached = lstat(root, &st) == 0;
    if (!reached && errno != EACCES) {
        return apr_psprintf(p, "DevCacheRoot \"%s\" cannot be reached any more: %s", root,
                            words_of(errno, p));
    }
    if (reached && (st.st_dev != s->device || st.st_ino != s->inode)) {
        return apr_psprintf(p,
                            "DevCacheRoot \"%s\" is another directory than the one that "
                            "was in use",
                            root);
    }
    if (!devcache_mapping_current(s, &s->sh)) {
        return errno == 0 || errno == ENOENT
                   ? apr_psprintf(
                         p,
                         "DevCacheRoot \"%s\": its index was deleted, replaced or "
                         "cut",
                         root)
                   : apr_psprintf(p,
                                  "DevCacheRoot \"%s\": its index cannot be reached: %s",
                                  root, words_of(errno, p));
    }
    return NULL;
}

void devcache_attach_let_go(devcache_root_t *s)
{
    __atomic_store_n(&s->gone, 1, __ATOMIC_RELEASE);
    if (s->lock_fd >= 0) {
        close(s->lock_fd);
        s->lock_fd = -1;
    }
}

/* Something in place of a descriptor that threads may still use: whatever is opened
 * relative to it is not there, and its number is not given to anything else. */
static void blank_descriptor(int fd)
{
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (nothing >= 0) {
        dup3(nothing, fd, O_CLOEXEC);
        close(nothing);
    }
}

int devcache_attach_retire(devcache_root_t *s)
{
    if (!__atomic_load_n(&s->sh.broken, __ATOMIC_ACQUIRE)) {
        if (!devcache_evict_idle(s)) {
            return 0;
        }
        devcache_bus_blank(s->sh.head, s->sh.len);
    }
    devcache_hot_clear(s->hot);
    devcache_segment_close_all(s);
    blank_descriptor(s->root_fd);
    return 1;
}

void devcache_attach_end(devcache_root_t *s)
{
    devcache_hot_clear(s->hot);
    devcache_segment_close_all(s);
    devcache_shared_unmap(&s->sh);
    if (s->lock_fd >= 0) {
        close(s->lock_fd);
    }
    if (s->root_fd >= 0) {
        close(s->root_fd);
    }
    if (s->hot_pool) {
        apr_pool_destroy(s->hot_pool);
    }
    free(s);
}
