/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader: one thread of the leader for each server.
 *
 * It waits for what comes into the two streams, purges and heartbeats, and asks after each
 * answer, which comes three times a second at least, what the stream of purges looks like. From
 * that it tells whether it has missed any. It has not if
 *
 *     the server has run since (its run_id is the same), and
 *     its last entry is not older than our position, and
 *     its first entry is not younger than our position, or our position is its last entry,
 *     or nothing was ever taken out of it, and
 *     nobody has deleted single entries behind our position (XDEL).
 *
 * Anything else is a gap: the stream was trimmed beyond us or emptied, or the server was
 * started anew and may have lost its latest entries, or is another one. A server that is
 * new in the configuration is a gap as well. All purges are on all servers, so a gap in one
 * stream does no harm as long as another is read without. If there is none, everything that
 * is stored must be validated before it is used again, and reading goes on with what comes.
 *
 * Positions move after what was read is applied (tier/apply.c).
 *
 * A node is there if its heartbeat has come within ten seconds by this machine's own clock;
 * what was in the stream when reading began is as old as the server's clock says. No two
 * machines' clocks are ever compared.
 */
#include "tier/internal.h"

#include <apr_strings.h>
#include <string.h>
#include "base/clock.h"
#include "tier/reply.h"

#define AT_ONCE "1000" /* entries read in one go */
#define AT_MOST "100"  /* if those are too many bytes: so many never are */
#define COVERED "100"  /* latest purges whose numbers are noted after a gap */
#define BLOCK_MS "300" /* that it waits for entries, and how late it may be with that: */
#define BLOCK_TIME apr_time_from_msec(300 + 250)

/* What XINFO STREAM says. */
typedef struct stream_t {
    int exists;
    devcache_tier_id_t first, last, deleted; /* deleted: the latest that XDEL took out */
    apr_uint64_t length, added;
} stream_t;

/* What a reader keeps between two readings. */
typedef struct reading_t {
    devcache_tier_id_t beats;   /* position in the stream of heartbeats */
    apr_uint64_t server_ms;     /* the server's clock when reading began, */
    apr_time_t began;           /* and ours, which nobody sets */
    int too_large;              /* replies that were, one after the other */
    devcache_tier_id_t deleted; /* up to there XDEL's gaps are closed */
} reading_t;

/* ---- ids ------------------------------------------------------------------------------- */

static int compare(devcache_tier_id_t a, devcache_tier_id_t b)
{
    return a.ms != b.ms     ? (a.ms < b.ms ? -1 : 1)
           : a.seq != b.seq ? (a.seq < b.seq ? -1 : 1)
                            : 0;
}

static const char *id_text(devcache_tier_id_t id, apr_pool_t *p)
{
    return apr_psprintf(p, "%" APR_UINT64_T_FMT "-%" APR_UINT64_T_FMT, id.ms, id.seq);
}

/* ---- the stream ------------------------------------------------------------------------- */

/* @return 0 if it cannot be told */
static int read_stream(const redisReply *r, stream_t *s)
{
    int found = 0;
    size_t i;

    memset(s, 0, sizeof(*s));
    if (r->type == REDIS_REPLY_ERROR) {
        return strstr(r->str, "no such key") != NULL;
    }
    s->exists = 1;
    for (i = 0; r->type == REDIS_REPLY_ARRAY && i + 1 < r->elements; i += 2) {
        const redisReply *name = devcache_reply_member(r, i, REDIS_REPLY_STRING);
        const redisReply *number = devcache_reply_member(r, i + 1, REDIS_REPLY_INTEGER);

        if (!name) {
            return 0;
        }
        if (!strcmp(name->str, "length") && number) {
            s->length = (apr_uint64_t)number->integer;
            found |= 1;
        } else if (!strcmp(name->str, "entries-added") && number) {
            s->added = (apr_uint64_t)number->integer;
            found |= 2;
        } else if (!strcmp(name->str, "last-generated-id")) {
            found |= devcache_reply_id(r->element[i + 1], &s->last) ? 4 : 0;
        } else if (!strcmp(name->str, "max-deleted-entry-id")) {
            devcache_reply_id(r->element[i + 1], &s->deleted);
        } else if (!strcmp(name->str, "first-entry")) {
            devcache_reply_id(
                devcache_reply_member(r->element[i + 1], 0, REDIS_REPLY_STRING),
                &s->first);
        }
    }
    return found == 7;
}

/* Has nothing been missed up to @a position? See above. */
static int is_whole(const devcache_tier_worker_t *w, const stream_t *s,
                    devcache_tier_id_t position, const reading_t *reading)
{
    const devcache_tier_server_t *server = w->tier->servers[w->at];
    int is_start = position.ms == 0 && position.seq == 0;

    if (!server->known || server->run_hash != devcache_link_run(w->link)) {
        return 0;
    }
    if (!s->exists) {
        return is_start;
    }
    if (compare(s->deleted, position) > 0 && compare(s->deleted, reading->deleted) > 0) {
        return 0;
    }
    return compare(s->last, position) >= 0 &&
           ((s->length > 0 && compare(s->first, position) <= 0) ||
            compare(s->last, position) == 0 || (is_start && s->added == s->length));
}

/* Is another server's stream read without a gap? */
static int another_is_whole(const devcache_tier_t *tier, unsigned but)
{
    unsigned i;

    for (i = 0; i < tier->conf.nurls; i++) {
        if (i != but && __atomic_load_n(&tier->servers[i]->reading, __ATOMIC_ACQUIRE)) {
            return 1;
        }
    }
    return 0;
}

/* ---- entries ---------------------------------------------------------------------------- */

static void refuse_entry(devcache_tier_worker_t *w, const char *stream)
{
    devcache_tier_server_t *server = w->tier->servers[w->at];

    server->refused++;
    if (!w->odd++) { /* once for as long as this thread lives */
        devcache_tier_say(
            w->tier, DEVCACHE_TIER_WARNING, 233,
            apr_psprintf(w->pool,
                         "tier: %s: entries of the stream %s are not ours, or are signed "
                         "with another DevCacheTierKey: they are passed over; is "
                         "DevCacheTierName somebody else's?",
                         w->tier->conf.urls[w->at].text, stream));
    }
}

/* Everything is doubted, so the purges up to there are carried out in effect: note their
 * numbers, or whoever waits for one of them would wait in vain. */
static void note_covered(devcache_tier_worker_t *w, devcache_tier_id_t last)
{
    devcache_tier_state_t *state = w->tier->state;
    redisReply *r = devcache_link_say_words(w->link, "XREVRANGE", w->tier->purges,
                                            id_text(last, w->pool), "-", "COUNT", COVERED,
                                            NULL)
                        ? devcache_link_hear(w->link, 0)
                        : NULL;
    size_t i;

    pthread_mutex_lock(&w->tier->apply);
    for (i = 0; r && r->type == REDIS_REPLY_ARRAY && i < r->elements; i++) {
        devcache_tier_purge_t purge;
        devcache_tier_id_t id;
        devcache_slice_t value = devcache_reply_value(r->element[i], &id);

        if (value.data &&
            devcache_tier_message_read_purge(&w->tier->key, value, &purge) &&
            purge.node != state->node &&
            purge.number > devcache_tier_state_latest(state, purge.node)) {
            devcache_tier_state_note(state, purge.node, purge.number);
        }
    }
    pthread_mutex_unlock(&w->tier->apply);
    freeReplyObject(r);
    __atomic_fetch_add(&state->beat_due, 1, __ATOMIC_RELEASE);
    devcache_tier_state_raise(&state->queued);
}

static void close_gap(devcache_tier_worker_t *w, const stream_t *s,
                      devcache_tier_id_t position)
{
    devcache_tier_t *tier = w->tier;
    devcache_tier_server_t *server = tier->servers[w->at];
    devcache_tier_id_t start = {0, 0};
    int covered = another_is_whole(tier, w->at), is_new = !server->known;

    if (!covered) {
        devcache_tier_doubt(tier, w->pool);
        position = s->exists ? s->last : start; /* what came before is covered by that */
        if (s->exists && !__atomic_load_n(&tier->state->doubt_due, __ATOMIC_ACQUIRE)) {
            note_covered(w, position);
        }
    } else if (is_new || !s->exists || compare(s->last, position) < 0) {
        position = start;
    }
    server->gaps++;
    server->run_hash = devcache_link_run(w->link);
    devcache_tier_state_move(server, position);
    devcache_tier_say(
        tier, is_new ? DEVCACHE_TIER_INFO : DEVCACHE_TIER_WARNING, 232,
        apr_psprintf(
            w->pool, "tier: %s: %s; %s", tier->conf.urls[w->at].text,
            is_new ? "its purges are read from now on"
                   : "purges may be missing there (it was restarted, emptied, or "
                     "has forgotten or deleted them)",
            covered ? "another server has them"
                    : "everything that is stored is validated before it is used"));
}

/* @return 0 if they could not be applied */
static int take_purges(devcache_tier_worker_t *w, const redisReply *entries)
{
    devcache_tier_server_t *server = w->tier->servers[w->at];
    devcache_tier_id_t last = devcache_tier_state_position(server), id;
    devcache_tier_batch_t batch = {NULL, 0};
    size_t i;

    batch.purges = apr_palloc(w->pool, (entries->elements + 1) * sizeof(*batch.purges));
    for (i = 0; i < entries->elements; i++) {
        devcache_slice_t value = devcache_reply_value(entries->element[i], &id);
        devcache_tier_purge_t *purge = &batch.purges[batch.n];
        int fine = value.data &&
                   devcache_tier_message_read_purge(&w->tier->key, value, purge);

        if (compare(id, last) > 0) {
            last = id;
        }
        devcache_recent_note(w->tier->recent, devcache_tier_at(w->tier, w->at), id,
                             fine ? purge : NULL, w->pool);
        if (fine) {
            batch.n++;
        } else {
            refuse_entry(w, w->tier->purges);
        }
    }
    if (!devcache_tier_apply(w->tier, &batch, w->pool)) {
        return 0;
    }
    server->entries += batch.n;
    devcache_tier_state_move(server, last);
    return 1;
}

static void take_beats(devcache_tier_worker_t *w, const redisReply *entries,
                       reading_t *reading)
{
    devcache_tier_state_t *state = w->tier->state;
    size_t i;
    unsigned s;

    for (i = 0; i < entries->elements; i++) {
        devcache_tier_beat_t beat;
        devcache_tier_node_t *node;
        devcache_tier_id_t id;
        devcache_slice_t value = devcache_reply_value(entries->element[i], &id);
        apr_time_t seen = devcache_monotonic();

        if (compare(id, reading->beats) > 0) {
            reading->beats = id;
        }
        if (!value.data ||
            !devcache_tier_message_read_beat(&w->tier->key, value, &beat, w->pool)) {
            refuse_entry(w, w->tier->beats);
            continue;
        }
        if (beat.node == state->node) {
            continue;
        }
        if (id.ms < reading->server_ms) {
            seen = reading->began - (apr_time_t)(reading->server_ms - id.ms) * 1000;
        }
        node = devcache_tier_state_node(state, beat.node);
        node->outbox = beat.outbox;
        apr_snprintf(node->name, sizeof(node->name), "%.*s", (int)beat.name.len,
                     beat.name.data);
        for (s = 0; s < beat.nseen; s++) {
            if (beat.seen[s].node == state->node && beat.seen[s].number > node->applied) {
                __atomic_store_n(&node->applied, beat.seen[s].number, __ATOMIC_RELEASE);
            }
        }
        if (seen > (apr_time_t)node->seen) {
            __atomic_store_n(&node->seen, (apr_uint64_t)seen, __ATOMIC_RELEASE);
        }
    }
    devcache_tier_state_raise(&state->heard);
}

/* ---- one reading ------------------------------------------------------------------------- */

/* How old heartbeats are: by the server's clock, once. */
static int read_clock(devcache_tier_worker_t *w, reading_t *reading)
{
    apr_time_t clock = devcache_link_clock(w->link, 0);

    if (clock) {
        reading->server_ms = (apr_uint64_t)clock / 1000;
        reading->began = devcache_monotonic();
        reading->beats.ms = reading->server_ms > 12000 ? reading->server_ms - 12000 : 0;
        reading->beats.seq = 0;
    }
    return clock != 0;
}

/* Look at the stream, and close a gap if there is one. @return 0 on failure */
static int check_stream(devcache_tier_worker_t *w, devcache_tier_id_t position,
                        reading_t *reading)
{
    redisReply *r = devcache_link_hear(w->link, 0);
    stream_t stream;
    int fine = r && read_stream(r, &stream);

    if (r && !fine) {
        devcache_tier_failed(
            w, &w->tier->servers[w->at]->reading,
            apr_psprintf(w->pool, "it says nothing about its stream %s: %.100s",
                         w->tier->purges,
                         r->type == REDIS_REPLY_ERROR ? r->str : "an odd answer"));
    } else if (!r) {
        devcache_tier_failed(w, &w->tier->servers[w->at]->reading, NULL);
    }
    freeReplyObject(r);
    w->deleted = fine ? stream.deleted : w->deleted;
    if (fine && !is_whole(w, &stream, position, reading)) {
        reading->deleted = stream.deleted;
        __atomic_store_n(&w->tier->servers[w->at]->reading, 0, __ATOMIC_RELEASE);
        devcache_recent_forget(w->tier->recent, devcache_tier_at(w->tier, w->at));
        close_gap(w, &stream, position);
    }
    return fine;
}

static int begin(devcache_tier_worker_t *w, reading_t *reading)
{
    devcache_tier_server_t *server = w->tier->servers[w->at];

    if (!devcache_link_open(w->link) || !read_clock(w, reading) ||
        !devcache_link_say_words(w->link, "XINFO", "STREAM", w->tier->purges, NULL)) {
        devcache_tier_failed(w, &server->reading, NULL);
        return 0;
    }
    return check_stream(w, devcache_tier_state_position(server), reading);
}

/* An entry that is too large to be read, whatever it is: go on behind it. */
static int skip_all(devcache_tier_worker_t *w, reading_t *reading)
{
    reading->too_large = 0;
    w->tier->servers[w->at]->known = 0; /* as if we had never been there */
    refuse_entry(w, w->tier->purges);
    return begin(w, reading);
}

static int take_answer(devcache_tier_worker_t *w, const redisReply *r, reading_t *reading)
{
    size_t i;

    for (i = 0; r->type == REDIS_REPLY_ARRAY && i < r->elements; i++) {
        const redisReply *name = devcache_reply_member(r->element[i], 0,
                                                       REDIS_REPLY_STRING);
        const redisReply *entries = devcache_reply_member(r->element[i], 1,
                                                          REDIS_REPLY_ARRAY);

        if (!name || !entries) {
            continue;
        }
        if (!strcmp(name->str, w->tier->beats)) {
            take_beats(w, entries, reading);
        } else if (!strcmp(name->str, w->tier->purges) && !take_purges(w, entries)) {
            return 0;
        }
    }
    return 1;
}

/* @return 0 on failure */
static int read_once(devcache_tier_worker_t *w, reading_t *reading)
{
    devcache_tier_server_t *server = w->tier->servers[w->at];
    devcache_tier_id_t before = devcache_tier_state_position(server);
    const char *count = reading->too_large == 0   ? AT_ONCE
                        : reading->too_large == 1 ? AT_MOST
                                                  : "1";
    redisReply *r = NULL;
    int fine = 0;

    if (devcache_link_say_words(w->link, "XREAD", "COUNT", count, "BLOCK", BLOCK_MS,
                                "STREAMS", w->tier->purges, w->tier->beats,
                                id_text(before, w->pool),
                                id_text(reading->beats, w->pool), NULL) &&
        devcache_link_say_words(w->link, "XINFO", "STREAM", w->tier->purges, NULL)) {
        r = devcache_link_hear(w->link, BLOCK_TIME);
    }
    if (!r) {
        reading->too_large += strstr(devcache_link_trouble(w->link), "larger") != NULL;
        devcache_tier_failed(w, &server->reading, NULL);
        return 0;
    }
    if (r->type == REDIS_REPLY_ERROR) {
        devcache_tier_failed(w, &server->reading,
                             apr_psprintf(w->pool, "it cannot be read: %.120s", r->str));
    } else if (check_stream(w, before, reading)) {
        /* A gap has moved the position behind what was read: then that is read again. */
        fine = compare(devcache_tier_state_position(server), before) != 0 ||
               take_answer(w, r, reading);
        if (!fine) {
            devcache_tier_failed(w, &server->reading, "purges could not be applied");
        }
    }
    freeReplyObject(r);
    if (fine) {
        reading->too_large = 0;
        server->last_read = (apr_uint64_t)devcache_monotonic();
    }
    return fine;
}

void *devcache_tier_read(void *worker)
{
    devcache_tier_worker_t *w = worker;
    devcache_tier_server_t *server = w->tier->servers[w->at];
    apr_pool_t *whole = w->pool;
    reading_t reading = {{0, 0}};

    apr_pool_create(&w->pool, whole);
    while (devcache_tier_goes_on(w->tier)) {
        int fine;

        apr_pool_clear(w->pool);
        if (devcache_link_is_open(w->link)) {
            fine = read_once(w, &reading);
        } else {
            fine = reading.too_large > 2 ? skip_all(w, &reading) : begin(w, &reading);
        }
        if (fine && !devcache_tier_look_back(w)) {
            devcache_tier_failed(w, &server->reading, NULL);
            fine = 0;
        }
        if (fine) {
            devcache_tier_works(w, &server->reading);
        }
    }
    __atomic_store_n(&server->reading, 0, __ATOMIC_RELEASE);
    return NULL;
}
