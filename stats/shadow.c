/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One table of 64-byte entries in sets of eight. An entry is either of a key, with the
 * numbers of the specs under which variants of it were put, or of a variant. Which one is
 * in the hash: a variant's is seeded with its key's hash, which is seeded with the world,
 * and with the key's epoch. Removing a key raises its epoch, and so unmakes all variants.
 */
#include "stats/shadow.h"

#include <apr_strings.h>
#include <xxhash.h>
#include "base/shm.h"
#include "devcache_vary.h"

#define ENTRIES (1u << 21)
#define WAYS 8u
#define SPECS 128u
#define SPECS_OF_KEY 8u
#define NAME_MAX_LEN 200

typedef apr_uint64_t word_t;

/* Words of an entry. */
enum { HASH, A, B, C, D, E, USED, CHECK, WORDS };

/* Of a key: A the epoch, B and C its specs (number + 1; 16 bits each), latest first. Of a
 * variant: A received, B initial age, C lifetime, D stale windows in seconds, E flags and
 * size. USED, for which the check does not count: last use, seconds; the lowest bit says
 * that the size is in the sum. */
typedef struct entry_t {
    word_t w[WORDS];
} entry_t;

typedef struct spec_t {
    unsigned state; /* 0 free, 1 being written, 2 to be read */
    char text[DEVCACHE_VARY_MAX_SPEC + 4];
} spec_t;

typedef struct names_t {
    unsigned n; /* raised when the name is whole */
    char name[DEVCACHE_PLACES][NAME_MAX_LEN];
} names_t;

typedef struct shared_t {
    word_t bytes, evicted;
    names_t places, classes;
    devcache_shadow_counts_t counts[DEVCACHE_PLACES][DEVCACHE_PLACE_CLASSES];
    spec_t specs[SPECS];
    entry_t entries[ENTRIES];
} shared_t;

static shared_t *shared; /* set once in the parent before it forks */

static const char *const world_names[] = {
#define W(name, word, change) word,
    DEVCACHE_WORLDS(W)
#undef W
};
static const char *const world_changes[] = {
#define W(name, word, change) change,
    DEVCACHE_WORLDS(W)
#undef W
};

const char *devcache_shadow_world_name(devcache_world_e world)
{
    return world_names[world];
}

const char *devcache_shadow_world_change(devcache_world_e world)
{
    return world_changes[world];
}

apr_status_t devcache_shadow_create(apr_pool_t *p)
{
    apr_status_t rv;

    shared = devcache_shm_create(sizeof(shared_t), &rv, p);
    return rv;
}

int devcache_shadow_exists(void)
{
    return shared != NULL;
}

/* ---- entries -------------------------------------------------------------------- */

static word_t load(const word_t *w)
{
    return __atomic_load_n(w, __ATOMIC_RELAXED);
}

static void save(word_t *w, word_t value)
{
    __atomic_store_n(w, value, __ATOMIC_RELAXED);
}

static word_t check_of(const entry_t *e)
{
    word_t sum = 0x9e3779b97f4a7c15u;
    int i;

    for (i = HASH; i <= E; i++) {
        sum = (sum ^ e->w[i]) * 0xff51afd7ed558ccdu;
    }
    return sum;
}

/* A copy. @return 0 if the entry is empty or torn */
static int read_entry(const entry_t *from, entry_t *to)
{
    int i;

    for (i = 0; i < WORDS; i++) {
        to->w[i] = load(&from->w[i]);
    }
    return to->w[CHECK] == check_of(to);
}

static void write_entry(entry_t *to, entry_t *from)
{
    int i;

    from->w[CHECK] = check_of(from);
    for (i = 0; i < WORDS; i++) {
        save(&to->w[i], from->w[i]);
    }
}

static entry_t *set_of(word_t hash)
{
    return &shared->entries[hash % (ENTRIES / WAYS) * WAYS];
}

static word_t used(apr_time_t now, int is_summed)
{
    return (word_t)apr_time_sec(now) << 1 | (word_t)is_summed;
}

static entry_t *find(word_t hash, apr_time_t now, entry_t *copy)
{
    entry_t *set = set_of(hash);
    unsigned i;

    for (i = 0; i < WAYS; i++) {
        if (load(&set[i].w[HASH]) == hash && read_entry(&set[i], copy)) {
            save(&set[i].w[USED], used(now, copy->w[USED] & 1));
            return &set[i];
        }
    }
    return NULL;
}

#define SIZE_MASK (((word_t)1 << 48) - 1)

static word_t size_in_sum(const entry_t *e)
{
    return e->w[USED] & 1 ? e->w[E] & SIZE_MASK : 0;
}

/* Put it in place of the entry of its hash, of an empty one, or of the one used longest
 * ago. */
static void put(entry_t *e)
{
    entry_t *set = set_of(e->w[HASH]), *best = NULL, old;
    word_t gone = 0, oldest = 0;
    unsigned i;

    for (i = 0; i < WAYS; i++) {
        int is_whole = read_entry(&set[i], &old);
        int is_same = is_whole && old.w[HASH] == e->w[HASH];
        if (!best || !is_whole || is_same || old.w[USED] >> 1 < oldest) {
            best = &set[i];
            oldest = is_whole ? old.w[USED] >> 1 : 0;
            gone = is_whole ? size_in_sum(&old) : 0;
        }
        if (!is_whole || is_same) {
            break;
        }
    }
    if (i == WAYS) {
        __atomic_fetch_add(&shared->evicted, 1, __ATOMIC_RELAXED);
    }
    write_entry(best, e);
    __atomic_fetch_add(&shared->bytes, size_in_sum(e) - gone, __ATOMIC_RELAXED);
}

/* ---- keys and specs ------------------------------------------------------------- */

static word_t hash_of(devcache_slice_t s, word_t seed)
{
    return XXH3_64bits_withSeed(s.len ? s.data : "", s.len, seed);
}

static word_t key_hash(devcache_world_e world, devcache_slice_t key)
{
    return hash_of(key, 0x5bd1e995u + (word_t)world);
}

static word_t variant_hash(const entry_t *key, devcache_slice_t variant)
{
    return hash_of(variant, (key->w[HASH] ^ key->w[A]) * 2 + 1);
}

/* A spec's number; -1: no room. Two processes may give a text two numbers, which does no
 * harm: the text is what counts. */
static int intern(const char *spec)
{
    unsigned i;

    if (strlen(spec) >= sizeof shared->specs[0].text) {
        return -1;
    }
    for (i = 0; i < SPECS; i++) {
        spec_t *s = &shared->specs[i];
        unsigned state = __atomic_load_n(&s->state, __ATOMIC_ACQUIRE);
        if (state == 0 &&
            __atomic_compare_exchange_n(&s->state, &state, 1, 0, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE)) {
            apr_cpystrn(s->text, spec, sizeof s->text);
            __atomic_store_n(&s->state, 2, __ATOMIC_RELEASE);
            return (int)i;
        }
        if (state == 2 && !strcmp(s->text, spec)) {
            return (int)i;
        }
    }
    return -1;
}

static const char *spec_text(unsigned number)
{
    return number < SPECS &&
                   __atomic_load_n(&shared->specs[number].state, __ATOMIC_ACQUIRE) == 2
               ? shared->specs[number].text
               : NULL;
}

static void read_specs(const entry_t *key, apr_uint16_t out[SPECS_OF_KEY])
{
    memcpy(out, &key->w[B], SPECS_OF_KEY * sizeof *out);
}

/* Put a spec first. @return 0 if it was */
static int note_spec(entry_t *key, apr_uint16_t number)
{
    apr_uint16_t specs[SPECS_OF_KEY];
    unsigned i;

    read_specs(key, specs);
    if (specs[0] == number) {
        return 0;
    }
    for (i = 1; i < SPECS_OF_KEY - 1 && specs[i] && specs[i] != number; i++) {
    }
    memmove(specs + 1, specs, i * sizeof *specs);
    specs[0] = number;
    memcpy(&key->w[B], specs, sizeof specs);
    return 1;
}

/* ---- the calls ------------------------------------------------------------------ */

static void tell(const entry_t *e, devcache_shadow_copy_t *out)
{
    memset(out, 0, sizeof *out);
    out->fresh.received_at = out->fresh.requested_at = (apr_time_t)e->w[A];
    out->fresh.initial_age = (apr_interval_time_t)e->w[B];
    out->fresh.lifetime = (apr_interval_time_t)e->w[C];
    out->fresh.stale_while_revalidate = apr_time_from_sec((apr_int64_t)(e->w[D] >> 32));
    out->fresh.stale_if_error = apr_time_from_sec((apr_int64_t)(e->w[D] & 0xffffffffu));
    out->fresh.flags = (unsigned)(e->w[E] >> 48);
    out->size = e->w[E] & SIZE_MASK;
}

/* As the store does it, the most specific variant that fits is taken, of equals the one
 * stored last. */
int devcache_shadow_find(devcache_world_e world, devcache_slice_t key,
                         devcache_shadow_values_fn *values, void *baton, apr_time_t now,
                         devcache_shadow_copy_t *out, apr_pool_t *p)
{
    apr_uint16_t specs[SPECS_OF_KEY];
    apr_size_t best = 0;
    entry_t of_key, of_variant;
    int found = 0;
    unsigned i;

    if (!shared || !find(key_hash(world, key), now, &of_key)) {
        return 0;
    }
    read_specs(&of_key, specs);
    for (i = 0; i < SPECS_OF_KEY && specs[i]; i++) {
        const char *spec = spec_text(specs[i] - 1u);
        devcache_slice_t variant = spec ? values(baton, spec, p)
                                        : devcache_slice(NULL, 0);
        if (variant.data && (!found || strlen(spec) > best) &&
            find(variant_hash(&of_key, variant), now, &of_variant)) {
            tell(&of_variant, out);
            best = strlen(spec);
            found = 1;
        }
    }
    return found;
}

static word_t whole_seconds(apr_interval_time_t t)
{
    apr_int64_t s = apr_time_sec(t);

    return s < 0 ? 0 : s > APR_INT32_MAX ? APR_INT32_MAX : (word_t)s;
}

void devcache_shadow_put(devcache_world_e world, devcache_slice_t key, const char *spec,
                         devcache_slice_t variant, const devcache_shadow_copy_t *copy,
                         apr_time_t now)
{
    const devcache_freshness_t *f = &copy->fresh;
    int number = shared ? intern(spec) : -1;
    entry_t of_key = {{0}}, e = {{0}};

    if (number < 0) {
        return;
    }
    if (!find(key_hash(world, key), now, &of_key)) {
        memset(&of_key, 0, sizeof of_key);
        of_key.w[HASH] = key_hash(world, key);
    }
    if (note_spec(&of_key, (apr_uint16_t)(number + 1))) {
        of_key.w[USED] = used(now, 0);
        put(&of_key);
    }
    e.w[HASH] = variant_hash(&of_key, variant);
    e.w[A] = (word_t)f->received_at;
    e.w[B] = (word_t)f->initial_age;
    e.w[C] = (word_t)f->lifetime;
    e.w[D] = whole_seconds(f->stale_while_revalidate) << 32 |
             whole_seconds(f->stale_if_error);
    e.w[E] = (word_t)(f->flags & 0xffffu) << 48 | (copy->size & SIZE_MASK);
    e.w[USED] = used(now, world == DEVCACHE_WORLD_CONFIGURED);
    put(&e);
}

void devcache_shadow_remove(devcache_world_e world, devcache_slice_t key, apr_time_t now)
{
    entry_t of_key;

    if (shared && find(key_hash(world, key), now, &of_key)) {
        of_key.w[A]++;
        of_key.w[B] = of_key.w[C] = 0;
        of_key.w[USED] = used(now, 0);
        put(&of_key);
    }
}

/* ---- counts --------------------------------------------------------------------- */

static unsigned number_of(const names_t *names, const char *name)
{
    unsigned n = __atomic_load_n(&names->n, __ATOMIC_ACQUIRE), i;

    for (i = 0; i < n && strncmp(names->name[i], name, NAME_MAX_LEN - 1); i++) {
    }
    return i;
}

/* The last number stays free, for what finds no room. */
static void add_name(names_t *names, const char *name, unsigned max)
{
    unsigned n = number_of(names, name);

    if (n == names->n && n < max - 1) {
        apr_cpystrn(names->name[n], name, NAME_MAX_LEN);
        __atomic_store_n(&names->n, n + 1, __ATOMIC_RELEASE);
    }
}

void devcache_shadow_name_place(const char *name)
{
    if (shared) {
        add_name(&shared->places, name, DEVCACHE_PLACES);
    }
}

void devcache_shadow_name_class(const char *name)
{
    if (shared) {
        add_name(&shared->classes, name, DEVCACHE_PLACE_CLASSES);
    }
}

static const char *name_at(const names_t *names, unsigned i, unsigned max)
{
    return i < __atomic_load_n(&names->n, __ATOMIC_ACQUIRE) ? names->name[i]
           : i == max - 1                                   ? "other"
                                                            : NULL;
}

const char *devcache_shadow_place(unsigned i)
{
    return shared ? name_at(&shared->places, i, DEVCACHE_PLACES) : NULL;
}

const char *devcache_shadow_class(unsigned i)
{
    return shared ? name_at(&shared->classes, i, DEVCACHE_PLACE_CLASSES) : NULL;
}

static devcache_shadow_counts_t *counts_of(const char *place, const char *class)
{
    unsigned i = number_of(&shared->places, place);
    unsigned k = number_of(&shared->classes, class);

    return &shared->counts[devcache_shadow_place(i) ? i : DEVCACHE_PLACES - 1]
                          [devcache_shadow_class(k) ? k : DEVCACHE_PLACE_CLASSES - 1];
}

/* All members are words. */
#define COUNTS (sizeof(devcache_shadow_counts_t) / sizeof(word_t))

void devcache_shadow_count(const char *place, const char *class,
                           const devcache_shadow_counts_t *n)
{
    const word_t *from = (const word_t *)n;
    word_t *to;
    unsigned i;

    if (!shared) {
        return;
    }
    to = (word_t *)counts_of(place, class);
    for (i = 0; i < COUNTS; i++) {
        if (from[i]) {
            __atomic_fetch_add(&to[i], from[i], __ATOMIC_RELAXED);
        }
    }
}

void devcache_shadow_add(devcache_shadow_counts_t *to, unsigned i, unsigned k)
{
    const word_t *from = (const word_t *)&shared->counts[i][k];
    unsigned n;

    for (n = 0; n < COUNTS; n++) {
        ((word_t *)to)[n] += load(&from[n]);
    }
}

apr_uint64_t devcache_shadow_bytes(void)
{
    apr_int64_t bytes = shared ? (apr_int64_t)load(&shared->bytes) : 0;

    return bytes > 0 ? (apr_uint64_t)bytes : 0; /* races may leave it a little too low */
}

apr_uint64_t devcache_shadow_evicted(void)
{
    return shared ? load(&shared->evicted) : 0;
}
