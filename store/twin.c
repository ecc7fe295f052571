/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Twins: variants of one key with the same body.
 *
 * A stylesheet under Vary: X-Device-Type comes once for each class, and is the same for all
 * of them. What is published is compared with a few of its siblings; if one has the same
 * body, only a head is written, which says where that body is:
 *
 *     segment 5   [head phone | body]  [head tablet]  ...
 *                              ^-----------'  |
 *     segment 9   [head desktop] -------------'
 *
 *     body-7      a large body, which as many records name as have it
 *
 * Nobody counts how many refer to a body. In a segment it lies as long as the segment does,
 * whether or not the record that it came with is still wanted, and eviction, which knows the
 * key by that record, finds all who refer to it in the key's chain. A body file goes with
 * the last entry of the key that has it, told by the same chain, under its lock.
 *
 * Who refers has the body's sum, so that the wrong body is damage and not an answer. But
 * sums are no proof that two bodies are the same: who writes bodies can find two with one
 * sum. So bytes are compared.
 */
#include "store/twin.h"

#include <apr_errno.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "store/segment.h"
#include "store/sums.h"

#define SIBLINGS 4   /* that are looked at, the latest first: a read for each, mostly */
#define SHORTEST 512 /* bytes of a body that is worth it */
#define SLACK 1024   /* by so much heads of siblings differ in length, at most */

/* ---- the record that has the body ------------------------------------------------- */

/* From memory or from disk, whole and verified. */
static apr_status_t read_base(devcache_root_t *s, const devcache_file_t *file,
                              apr_uint64_t offset, apr_uint32_t length,
                              devcache_record_t *base, void **room, apr_pool_t *p)
{
    apr_status_t rv;

    *room = NULL;
    if (s->hot && length <= DEVCACHE_RECORD_WHOLE &&
        devcache_hot_find(s->hot, file->serial, offset, base, room, p)) {
        return APR_SUCCESS;
    }
    rv = devcache_segment_read(s, file, offset, length, base, p);
    return rv == APR_SUCCESS && base->ref_serial ? APR_EGENERAL : rv;
}

static int has_body_of(const devcache_record_t *base, const devcache_record_t *rec)
{
    return !base->ref_serial && base->head_len == rec->ref_head &&
           base->body_len == rec->body_len && base->body_sum == rec->body_sum &&
           devcache_slice_eq(base->key, rec->key);
}

apr_status_t devcache_twin_body(devcache_root_t *s, devcache_record_t *rec,
                                apr_uint16_t slot, void **room, apr_pool_t *p)
{
    devcache_file_t file = {rec->ref_serial, DEVCACHE_FILE_SEGMENT, slot};
    apr_uint64_t offset = (apr_uint64_t)rec->ref_offset * DEVCACHE_RECORD_UNIT;
    apr_uint32_t length = devcache_record_ref_length(rec);
    devcache_record_t base;
    apr_status_t rv;

    *room = NULL;
    if (length > DEVCACHE_RECORD_WHOLE) {
        return APR_SUCCESS;
    }
    rv = read_base(s, &file, offset, length, &base, room, p);
    if (rv == APR_SUCCESS && !has_body_of(&base, rec)) {
        rv = APR_EGENERAL;
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (s->hot && !*room) {
        devcache_hot_offer(s->hot, file.serial, offset, &base, NULL);
        devcache_hot_find(s->hot, file.serial, offset, &base, room, p);
    }
    rec->body = base.body;
    return APR_SUCCESS;
}

apr_status_t devcache_twin_read(devcache_root_t *s, const devcache_entry_t *e,
                                devcache_record_t *rec, apr_pool_t *p)
{
    devcache_file_t file = {0, DEVCACHE_FILE_SEGMENT, e->slot};
    apr_status_t rv;

    file.serial = devcache_shared_serial(&s->sh, e->slot, e->serial);
    if (!file.serial) {
        return APR_NOTFOUND;
    }
    rv = devcache_segment_read(s, &file, (apr_uint64_t)e->offset * DEVCACHE_RECORD_UNIT,
                               e->length, rec, p);
    if (rv == APR_SUCCESS && rec->ref_head) {
        file.serial = rec->ref_serial;
        file.slot = e->body_slot;
        rv = devcache_segment_read(s, &file,
                                   (apr_uint64_t)rec->ref_offset * DEVCACHE_RECORD_UNIT,
                                   devcache_record_ref_length(rec), rec, p);
    }
    return rv;
}

/* ---- siblings --------------------------------------------------------------------- */

static int is_alive(const devcache_root_t *s, const devcache_entry_t *e)
{
    return devcache_shared_alive(&s->sh, e->slot, e->serial) &&
           (e->body_slot == DEVCACHE_NO_SLOT ||
            devcache_shared_alive(&s->sh, e->body_slot, e->body_serial));
}

/* Could it have the body of @a rec, as far as its entry tells? */
static int may_be_twin(const devcache_root_t *s, const devcache_entry_t *e,
                       const devcache_record_t *rec, const devcache_entry_t *own,
                       devcache_file_kind_t kind)
{
    apr_uint64_t head_len = (apr_uint64_t)rec->head_len + SLACK;

    if (e->variant_hash == own->variant_hash || !is_alive(s, e)) {
        return 0;
    }
    if (e->body_slot == DEVCACHE_NO_SLOT) {
        return kind == DEVCACHE_FILE_SEGMENT &&
               e->length >=
                   devcache_record_length(DEVCACHE_RECORD_FIXED, rec->body_len) &&
               e->length <= devcache_record_length(head_len, rec->body_len);
    }
    return s->sh.slots[e->body_slot].kind == kind && e->length <= head_len;
}

/* The siblings of a record that are to be looked at, the latest first. */
typedef struct siblings_t {
    devcache_match_t all[DEVCACHE_MATCHES];
    unsigned n;
    unsigned looked; /* at so many */
} siblings_t;

static void find_siblings(devcache_root_t *s, const devcache_record_t *rec,
                          const devcache_entry_t *own, devcache_file_kind_t kind,
                          siblings_t *sib)
{
    unsigned i, n = devcache_index_find(&s->sh, own->key_hash, sib->all);

    for (i = sib->n = sib->looked = 0; i < n; i++) {
        if (may_be_twin(s, &sib->all[i].entry, rec, own, kind)) {
            sib->all[sib->n++] = sib->all[i];
        }
    }
}

/* NULL: there is none left, or enough were looked at. */
static const devcache_entry_t *next_sibling(siblings_t *sib)
{
    devcache_match_t latest;
    unsigned i, at = sib->looked;

    if (sib->looked == sib->n || sib->looked == SIBLINGS) {
        return NULL;
    }
    for (i = at + 1; i < sib->n; i++) {
        if (sib->all[i].entry.stored_at > sib->all[at].entry.stored_at) {
            at = i;
        }
    }
    latest = sib->all[at];
    sib->all[at] = sib->all[sib->looked];
    sib->all[sib->looked] = latest;
    return &sib->all[sib->looked++].entry;
}

/* Its head, if the body is of that length and belongs to this key. */
static int read_sibling(devcache_root_t *s, const devcache_entry_t *e,
                        const devcache_record_t *rec, devcache_record_t *out,
                        apr_pool_t *p)
{
    devcache_file_t file = {0, DEVCACHE_FILE_SEGMENT, e->slot};
    apr_uint64_t offset = (apr_uint64_t)e->offset * DEVCACHE_RECORD_UNIT;
    void *room;

    file.serial = devcache_shared_serial(&s->sh, e->slot, e->serial);
    if (!file.serial) {
        return 0;
    }
    if (!(s->hot && devcache_hot_find(s->hot, file.serial, offset, out, &room, p)) &&
        devcache_segment_read_head(s, &file, offset, e->length, out, p) != APR_SUCCESS) {
        return 0;
    }
    if (!out->ref_serial) { /* has it itself */
        out->ref_serial = file.serial;
        out->ref_offset = e->offset;
        out->ref_head = out->head_len;
    }
    return out->body_len == rec->body_len && devcache_slice_eq(out->key, rec->key);
}

/* ---- bodies in segments -------------------------------------------------------------- */

static int is_same_body(devcache_root_t *s, const devcache_entry_t *e,
                        const devcache_record_t *sibling, const devcache_record_t *rec,
                        devcache_file_t *file, apr_pool_t *p)
{
    devcache_record_t base;
    void *room;

    file->serial = sibling->ref_serial;
    file->slot = e->body_slot == DEVCACHE_NO_SLOT ? e->slot : e->body_slot;
    return read_base(s, file, (apr_uint64_t)sibling->ref_offset * DEVCACHE_RECORD_UNIT,
                     devcache_record_ref_length(sibling), &base, &room,
                     p) == APR_SUCCESS &&
           has_body_of(&base, sibling) && devcache_slice_eq(base.body, rec->body);
}

int devcache_twin_find(devcache_root_t *s, devcache_record_t *rec,
                       const devcache_entry_t *own, devcache_file_t *body, apr_pool_t *p)
{
    devcache_file_t file = {0, DEVCACHE_FILE_SEGMENT, 0};
    devcache_record_t sibling;
    const devcache_entry_t *e;
    siblings_t sib;
    apr_pool_t *ptemp;
    int found = 0;

    if (rec->body.len < SHORTEST) {
        return 0;
    }
    find_siblings(s, rec, own, DEVCACHE_FILE_SEGMENT, &sib);
    if (sib.n == 0) {
        return 0;
    }
    apr_pool_create(&ptemp, p);
    while (!found && (e = next_sibling(&sib)) != NULL) {
        found = read_sibling(s, e, rec, &sibling, ptemp) && sibling.ref_head &&
                sibling.ref_head <= DEVCACHE_RECORD_REF_HEAD &&
                sibling.body_sum == rec->body_sum &&
                is_same_body(s, e, &sibling, rec, &file, ptemp);
    }
    apr_pool_destroy(ptemp);
    if (found) {
        rec->ref_serial = sibling.ref_serial;
        rec->ref_offset = sibling.ref_offset;
        rec->ref_head = sibling.ref_head;
        rec->body = devcache_slice("", 0);
        rec->table = devcache_slice(NULL, 0);
        *body = file;
    }
    return found;
}

/* ---- bodies in files of their own ------------------------------------------------------ */

static int read_block(int fd, char *block, apr_size_t len, apr_uint64_t at)
{
    apr_size_t got = 0;

    while (got < len) {
        ssize_t n = pread(fd, block + got, len - got, (off_t)(at + got));

        if (n <= 0 && !(n < 0 && errno == EINTR)) {
            return 0;
        }
        got += n > 0 ? (apr_size_t)n : 0;
    }
    return 1;
}

/* A table that is damaged would be so for each that refers to it. */
static int has_table(int fd, apr_uint64_t body_len, const unsigned char *table,
                     apr_size_t size)
{
    char *block = malloc(size);
    int same = block && read_block(fd, block, size, DEVCACHE_FILE_HEADER + body_len) &&
               memcmp(block, table, size) == 0;

    free(block);
    return same;
}

static int are_same_files(int a, int b, apr_uint64_t body_len)
{
    char *blocks = malloc(2 * DEVCACHE_SUMS_BLOCK);
    apr_uint64_t at = DEVCACHE_FILE_HEADER, end = at + body_len;
    int same = 1;

    if (!blocks) {
        return 0;
    }
    while (same && at < end) {
        apr_size_t len = end - at < DEVCACHE_SUMS_BLOCK ? (apr_size_t)(end - at)
                                                        : DEVCACHE_SUMS_BLOCK;

        same = read_block(a, blocks, len, at) &&
               read_block(b, blocks + DEVCACHE_SUMS_BLOCK, len, at) &&
               memcmp(blocks, blocks + DEVCACHE_SUMS_BLOCK, len) == 0;
        at += len;
    }
    free(blocks);
    return same;
}

/* Sums first, which lie in memory and in the sibling's head. */
static int is_same_file(devcache_root_t *s, const devcache_record_t *sibling,
                        const devcache_file_t *file, int fd, const unsigned char *table,
                        apr_size_t size)
{
    devcache_file_header_t header = {0};
    apr_uint64_t len;
    int other, same;

    if (devcache_segment_open(s, file, &other, &header, &len) != APR_SUCCESS) {
        return 0;
    }
    same = header.len == sibling->body_len &&
           devcache_sums_root(table, size, header.salt) == sibling->body_sum &&
           has_table(other, header.len, table, size) &&
           are_same_files(other, fd, header.len);
    close(other);
    return same;
}

int devcache_twin_find_file(devcache_root_t *s, devcache_record_t *rec,
                            const devcache_entry_t *own, int fd,
                            const unsigned char *table, apr_size_t size,
                            devcache_file_t *body, apr_pool_t *p)
{
    devcache_file_t file = {0, DEVCACHE_FILE_BODY, 0};
    devcache_record_t sibling;
    const devcache_entry_t *e;
    siblings_t sib;
    apr_pool_t *ptemp;
    int found = 0;

    find_siblings(s, rec, own, DEVCACHE_FILE_BODY, &sib);
    if (sib.n == 0) {
        return 0;
    }
    apr_pool_create(&ptemp, p);
    while (!found && (e = next_sibling(&sib)) != NULL) {
        if (read_sibling(s, e, rec, &sibling, ptemp) && !sibling.ref_head) {
            file.serial = sibling.ref_serial;
            file.slot = e->body_slot;
            found = is_same_file(s, &sibling, &file, fd, table, size);
        }
    }
    apr_pool_destroy(ptemp);
    if (found) {
        rec->ref_serial = sibling.ref_serial;
        rec->body_sum = sibling.body_sum;
        *body = file;
    }
    return found;
}
