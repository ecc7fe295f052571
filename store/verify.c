/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the segments of a store's directory, beside what its index leads to.
 *
 *     segment    [header][record A][record B][?????????][record D]  ...
 *     snapshot             A                  C           D
 *                          live    not live   damaged     live
 *
 * A record that the snapshot has and that does not verify is damage only if the index
 * still leads there at that moment: a running server evicts, moves and replaces. Bytes
 * reach a segment before the entry that leads to them, so a live record is never half
 * written; bytes that nothing leads to may be, now or since their writer was killed.
 * Those are told from damage by their end, as a write that was cut off leaves zeros there,
 * and by a second look: one that is under way is whole soon.
 */
#include <stdlib.h>
#include <unistd.h>
#include "store/segment.h"
#include "store/snapshot.h"
#include "store/sums.h"

#define UNLESS_TORN DEVCACHE_RECORD_UNIT /* that many zeros end a write cut off */
#define LOOK (32 * 1024)                 /* bytes of a gap looked at in one go */
#define LOOK_AGAIN apr_time_from_msec(20)
#define LOOKS 50 /* second looks of an inspection that find nothing new */

typedef struct visit_t {
    devcache_inspect_t *in;
    apr_uint64_t serial;
    devcache_walk_t w;
    int bodies;
    devcache_found_fn *fn;
    void *baton;
} visit_t;

static int report(visit_t *v, devcache_finding_e what, apr_uint64_t from, apr_uint64_t to,
                  int live, const char *why)
{
    devcache_found_t found = {what, v->serial, from, to - from};

    found.live = live;
    found.why = why;
    return v->fn(v->baton, &found);
}

static int is_zero(const unsigned char *p, apr_size_t len)
{
    return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

/* Nothing or zeros in this range of the file? */
static int is_empty(visit_t *v, apr_uint64_t from, apr_uint64_t to)
{
    while (from < to) {
        apr_size_t len = to - from < LOOK ? (apr_size_t)(to - from) : LOOK;
        const unsigned char *p = devcache_segment_walk_look(&v->w, from, len);

        if (p && !is_zero(p, len)) {
            return 0;
        }
        from += len;
    }
    return 1;
}

/* Read anew, past what was read before. */
static int is_whole_now(const visit_t *v, apr_uint64_t at)
{
    unsigned char fixed[DEVCACHE_RECORD_FIXED], *bytes;
    devcache_record_t rec;
    int whole;

    if (pread(v->w.fd, fixed, sizeof(fixed), (off_t)at) != (ssize_t)sizeof(fixed) ||
        !devcache_record_peek(fixed, v->w.salt, &rec) || rec.length > v->w.size - at ||
        !(bytes = malloc(rec.length))) {
        return 0;
    }
    whole = pread(v->w.fd, bytes, rec.length, (off_t)at) == (ssize_t)rec.length &&
            devcache_record_check_head(bytes, v->w.salt, at, &rec) &&
            (rec.ref_serial || devcache_record_check_body(bytes, &rec));
    free(bytes);
    return whole;
}

/* Was it being written? A segment is sealed while the last writes to it are under way. */
static int becomes_whole(visit_t *v, apr_uint64_t at)
{
    int whole = is_whole_now(v, at);

    while (!whole && v->in->sh.head && v->in->looks < LOOKS) {
        v->in->looks++;
        apr_sleep(LOOK_AGAIN);
        whole = is_whole_now(v, at);
    }
    return whole;
}

/* Is this how a write ends that was cut off? At the end of the file, or in zeros. Bytes
 * in a segment that is still written to get the benefit of the doubt. */
static int looks_torn(visit_t *v, apr_uint64_t from, apr_uint64_t to)
{
    const devcache_shared_t *sh = &v->in->sh;
    const unsigned char *p;
    devcache_record_t rec;
    unsigned i;

    for (i = 0; sh->head && i < sh->g.slots; i++) {
        if (sh->slots[i].serial == v->serial &&
            sh->slots[i].state != DEVCACHE_SLOT_SEALED) {
            return 1;
        }
    }
    p = devcache_segment_walk_look(&v->w, from, DEVCACHE_RECORD_FIXED);
    if (!p || (to == v->w.size && devcache_record_peek(p, v->w.salt, &rec) &&
               rec.length > to - from)) {
        return 1;
    }
    return (to - from > UNLESS_TORN && is_empty(v, to - UNLESS_TORN, to)) ||
           becomes_whole(v, from);
}

/* What lies between two records. */
static int visit_gap(visit_t *v, apr_uint64_t from, apr_uint64_t to)
{
    unsigned live = from < to ? devcache_inspect_count_live(v->in, v->serial, from, to)
                              : 0;

    if (live) {
        return report(v, DEVCACHE_FINDING_DAMAGED, from, to, 1,
                      "what the index leads to is not a whole record");
    }
    if (is_empty(v, from, to)) {
        return 0;
    }
    if (looks_torn(v, from, to)) {
        return report(v, DEVCACHE_FINDING_UNFINISHED, from, to, 0, NULL);
    }
    return report(v, DEVCACHE_FINDING_DAMAGED, from, to, 0, "not a whole record");
}

/* Compare a body in a file of its own with its sums. @a root: of their table */
static const char *file_trouble(int fd, const devcache_file_header_t *header,
                                apr_uint64_t root)
{
    apr_size_t size = devcache_sums_size(header->len), i;
    unsigned char *table = malloc(size + DEVCACHE_SUMS_BLOCK);
    const char *wrong = table ? NULL : "there is not enough memory to verify its body";
    apr_uint64_t at = DEVCACHE_FILE_HEADER;

    if (table && (pread(fd, table, size, (off_t)(at + header->len)) != (ssize_t)size ||
                  devcache_sums_root(table, size, header->salt) != root)) {
        wrong = "the file of its body is another one, or its checksums are damaged";
    }
    for (i = 0; !wrong && i < devcache_sums_count(header->len); i++) {
        apr_uint64_t left = header->len - i * DEVCACHE_SUMS_BLOCK;
        apr_size_t len = left < DEVCACHE_SUMS_BLOCK ? (apr_size_t)left
                                                    : DEVCACHE_SUMS_BLOCK;
        unsigned char *block = table + size;

        if (pread(fd, block, len, (off_t)(at + i * DEVCACHE_SUMS_BLOCK)) !=
                (ssize_t)len ||
            !devcache_sums_check(table, i, block, len)) {
            wrong = "a checksum of the body differs";
        }
    }
    free(table);
    return wrong;
}

/* What is wrong with the record that has the body of @a rec. @a fd: of its segment */
static const char *other_trouble(const devcache_record_t *rec, int fd, apr_uint64_t salt)
{
    apr_uint64_t at = (apr_uint64_t)rec->ref_offset * DEVCACHE_RECORD_UNIT;
    apr_uint32_t len = devcache_record_ref_length(rec);
    unsigned char *bytes = malloc(len);
    const char *wrong = bytes ? NULL : "there is not enough memory to verify its body";
    devcache_record_t other;

    if (bytes && (pread(fd, bytes, len, (off_t)at) != (ssize_t)len ||
                  !devcache_record_peek(bytes, salt, &other) || other.length != len ||
                  other.ref_serial || other.body_sum != rec->body_sum ||
                  !devcache_record_check_head(bytes, salt, at, &other) ||
                  !devcache_slice_eq(other.key, rec->key))) {
        wrong = "the record that has its body is another one, or is damaged";
    } else if (bytes && !devcache_record_check_body(bytes, &other)) {
        wrong = "the checksum of the body differs";
    }
    free(bytes);
    return wrong;
}

/* What is wrong with an object's body; NULL: nothing. */
static const char *body_trouble(visit_t *v, devcache_record_t *rec)
{
    devcache_file_header_t header = {0};
    const char *wrong;
    apr_uint64_t len;
    int fd, gone;

    if (rec->ref_serial == 0) {
        return devcache_segment_walk_body(&v->w, rec)
                   ? NULL
                   : "the checksum of the body differs";
    }
    wrong = devcache_inspect_open_file(
        v->in, rec->ref_head ? DEVCACHE_FILE_SEGMENT : DEVCACHE_FILE_BODY,
        rec->ref_serial, &fd, &header, &len, &gone);
    if (wrong) {
        return gone ? "the file of its body is missing"
                    : "the file of its body is damaged";
    }
    if (rec->ref_head) {
        wrong = other_trouble(rec, fd, header.salt);
    } else if (header.len != rec->body_len) {
        wrong = "the file of its body is another one";
    } else if (len < DEVCACHE_FILE_HEADER + header.len + devcache_sums_size(header.len)) {
        wrong = "the file of its body is short";
    } else {
        wrong = file_trouble(fd, &header, rec->body_sum);
    }
    close(fd);
    return wrong;
}

/* The snapshot's entry of a record, NULL if it has none. */
static const devcache_placed_t *entry_of(const visit_t *v, const devcache_record_t *rec)
{
    const devcache_inspect_t *in = v->in;
    apr_size_t i = devcache_inspect_seek(in, v->serial, v->w.offset);
    const devcache_placed_t *e = &in->live[i];

    return i < in->n_live && e->serial == v->serial && e->offset == v->w.offset &&
                   e->length == rec->length &&
                   e->key_hash == devcache_index_key_hash(&in->sh, rec->key)
               ? e
               : NULL;
}

/* Nobody asks for it (any more), so that a body of its own may have gone with another
 * record, and a small one may be half written. */
static void excuse(visit_t *v, devcache_found_t *found)
{
    found->live = found->live < 0 ? -1 : 0;
    if (found->rec.ref_serial) {
        found->why = NULL;
    } else if (looks_torn(v, found->offset, found->offset + found->len)) {
        found->why = NULL;
        found->what = DEVCACHE_FINDING_UNFINISHED;
    }
}

static int visit_object(visit_t *v, devcache_record_t *rec)
{
    const devcache_placed_t *e = v->in->sh.head ? entry_of(v, rec) : NULL;
    devcache_found_t found = {DEVCACHE_FINDING_OBJECT, v->serial, v->w.offset,
                              rec->length};

    found.live = !v->in->sh.head ? -1 : e != NULL;
    found.use = e ? e->use : 0;
    found.why = v->bodies ? body_trouble(v, rec) : NULL;
    found.rec = *rec;
    if (found.why && (found.live <= 0 || !devcache_inspect_still_there(v->in, e))) {
        excuse(v, &found);
    }
    if (found.why) {
        found.what = DEVCACHE_FINDING_DAMAGED;
    }
    return v->fn(v->baton, &found);
}

/* Entries that lead into the midst of a record, or to one of other key or length. */
static int visit_strays(visit_t *v, const devcache_record_t *rec)
{
    apr_uint64_t from = v->w.offset + (entry_of(v, rec) != NULL);

    return devcache_inspect_count_live(v->in, v->serial, from, v->w.pos)
               ? report(v, DEVCACHE_FINDING_DAMAGED, v->w.offset, v->w.pos, 1,
                        "the index leads to another record than it means")
               : 0;
}

static int visit_record(visit_t *v, devcache_record_t *rec)
{
    int end = visit_object(v, rec);

    return end || !v->in->sh.head ? end : visit_strays(v, rec);
}

/* A segment that cannot be read at all. */
static int visit_unreadable(visit_t *v, const char *wrong, int gone, apr_uint64_t len)
{
    unsigned live = devcache_inspect_count_live(v->in, v->serial, 0, APR_UINT64_MAX);

    if (live == 0 && (gone || len < DEVCACHE_FILE_HEADER)) {
        return 0; /* evicted, or not begun */
    }
    return report(v, DEVCACHE_FINDING_DAMAGED, 0, len, live > 0, wrong);
}

static int walk(visit_t *v)
{
    apr_uint64_t at = DEVCACHE_FILE_HEADER;
    devcache_record_t rec;
    int end = 0;

    while (!end && devcache_segment_walk_next(&v->w, &rec)) {
        end = visit_gap(v, at, v->w.offset);
        if (!end) {
            /* Looking at the gap may have moved the window. */
            const unsigned char *p = devcache_segment_walk_look(&v->w, v->w.offset,
                                                                rec.head_len);
            end = p && devcache_record_check_head(p, v->w.salt, v->w.offset, &rec)
                      ? visit_record(v, &rec)
                      : 0;
        }
        at = v->w.pos;
    }
    return end ? end : visit_gap(v, at, v->w.size);
}

int devcache_inspect_segment(devcache_inspect_t *in, apr_uint64_t serial, int bodies,
                             devcache_found_fn *fn, void *baton)
{
    visit_t v = {in, serial, {0}, bodies, fn, baton};
    devcache_file_header_t header = {0};
    const char *wrong;
    apr_uint64_t len;
    int fd, gone, end;

    wrong = devcache_inspect_open_segment(in, serial, &fd, &header, &len, &gone);
    if (!wrong && devcache_segment_walk_over(&v.w, fd, header.salt, len) != APR_SUCCESS) {
        wrong = "there is not enough memory to read it";
    }
    if (wrong) {
        return visit_unreadable(&v, wrong, gone, len);
    }
    end = walk(&v);
    devcache_segment_walk_end(&v.w);
    return end;
}

static int visit_one(visit_t *v, const devcache_placed_t *e)
{
    devcache_file_header_t header = {0};
    devcache_record_t rec;
    apr_uint64_t len;
    int fd, gone, end = 0;

    v->serial = e->serial;
    if (devcache_inspect_open_segment(v->in, e->serial, &fd, &header, &len, &gone) ||
        devcache_segment_walk_over(&v->w, fd, header.salt, len) != APR_SUCCESS) {
        return 0;
    }
    v->w.pos = e->offset;
    if (devcache_segment_walk_next(&v->w, &rec) && v->w.offset == e->offset) {
        end = visit_object(v, &rec);
    }
    devcache_segment_walk_end(&v->w);
    return end;
}

int devcache_inspect_key(devcache_inspect_t *in, devcache_slice_t key,
                         devcache_found_fn *fn, void *baton)
{
    visit_t v = {in, 0, {0}, 0, fn, baton};
    apr_uint64_t hash;
    apr_size_t i;
    int end = 0;

    if (!in->sh.head) {
        return 0;
    }
    hash = devcache_index_key_hash(&in->sh, key);
    for (i = 0; i < in->n_live && !end; i++) {
        end = in->live[i].key_hash == hash ? visit_one(&v, &in->live[i]) : 0;
    }
    return end;
}
