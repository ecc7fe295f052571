/* SPDX-License-Identifier: Apache-2.0 */
#include "http/field.h"

#include <apr_lib.h>
#include <apr_strings.h>

/*
 * Field values as they come from strangers.
 *
 * One field may come in several lines. apr_table_get() shows the first only, so nothing
 * in the policy uses it for a field that may be a list: lines are walked with
 * devcache_field_line(), or joined. Lists are cut line by line where that is possible:
 * a quoted string left open in one line then cannot hide what the next line says.
 *
 * Lists, numbers and dates each have one reader here. They take the grammar of RFC 9110
 * as it stands: apr_date_parse_http(), strtol() and friends accept a good deal more
 * (other time zones, missing commas, signs, leading space), and a cache that takes
 * "expires: Thu, 01 Jan 2099 00:00:00 EST" for a date serves what it must not.
 */

const char *devcache_field_line(const apr_table_t *headers, const char *name, int *index)
{
    const apr_array_header_t *lines = apr_table_elts(headers);
    const apr_table_entry_t *e = (const apr_table_entry_t *)lines->elts;
    apr_uint16_t start;
    int i;

    /* Five bits of two letters, the same in either case, tell nearly all names apart. */
    memcpy(&start, name, sizeof start);
    for (i = *index; i < lines->nelts; i++) {
        apr_uint16_t theirs;

        memcpy(&theirs, e[i].key, sizeof theirs);
        if (!((theirs ^ start) & 0x1f1f) && strcasecmp(e[i].key, name) == 0) {
            *index = i + 1;
            return e[i].val;
        }
    }
    *index = i;
    return NULL;
}

const char *devcache_field_combined(const apr_table_t *headers, const char *name,
                                    apr_pool_t *p)
{
    apr_array_header_t *lines;
    const char *first, *line, *joint;
    int index = 0;

    if (!apr_table_get(headers, name)) {
        return NULL; /* it knows what is absent sooner than a walk */
    }
    first = devcache_field_line(headers, name, &index);
    line = first ? devcache_field_line(headers, name, &index) : NULL;
    if (!line) {
        return first;
    }
    /* RFC 9113 section 8.2.3: the one field whose lines are not joined by a comma. */
    joint = strcasecmp(name, "Cookie") == 0 ? "; " : ", ";
    lines = apr_array_make(p, 8, sizeof(const char *));
    APR_ARRAY_PUSH(lines, const char *) = first;
    for (; line; line = devcache_field_line(headers, name, &index)) {
        APR_ARRAY_PUSH(lines, const char *) = joint;
        APR_ARRAY_PUSH(lines, const char *) = line;
    }
    return apr_array_pstrcat(p, lines, 0);
}

const char *devcache_field_single(const apr_table_t *headers, const char *name)
{
    int index = 0;
    const char *first = devcache_field_line(headers, name, &index);
    const char *line;

    while (first && (line = devcache_field_line(headers, name, &index)) != NULL) {
        if (strcmp(first, line) != 0) {
            return "";
        }
    }
    return first;
}

/* --- characters, tokens, lists --------------------------------------------------- */

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int is_space(char c)
{
    return c == ' ' || c == '\t';
}

const unsigned char devcache_field_tchars[256] = {
    ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1, ['!'] = 1,  ['#'] = 1,
    ['$'] = 1,         ['%'] = 1,         ['&'] = 1,         ['\''] = 1, ['*'] = 1,
    ['+'] = 1,         ['-'] = 1,         ['.'] = 1,         ['^'] = 1,  ['_'] = 1,
    ['`'] = 1,         ['|'] = 1,         ['~'] = 1,
};

static int is_control(char c)
{
    return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

/* Eight bytes at a time, the last ones twice; where one may be a control character, or is
 * a tab or not ASCII, one by one. */
int devcache_field_is_clean(const char *value, apr_size_t len)
{
    const apr_uint64_t ones = 0x0101010101010101u, del = ones * 0x7f;
    apr_uint64_t suspect = 0, word;
    apr_size_t at, last = len - sizeof word;

    for (at = 0; len >= sizeof word;
         at = at + sizeof word < last ? at + sizeof word : last) {
        memcpy(&word, value + at, sizeof word);
        suspect |= ((word - ones * 0x20) & ~word) |
                   (((word ^ del) - ones) & ~(word ^ del));
        if (at == last) {
            break;
        }
    }
    if (len >= sizeof word && !(suspect & (ones << 7))) {
        return 1;
    }
    for (at = 0; at < len && !is_control(value[at]); at++) {
    }
    return at == len;
}

int devcache_field_is_token(devcache_slice_t s)
{
    apr_size_t i;

    for (i = 0; i < s.len; i++) {
        if (!devcache_field_tchar(s.data[i])) {
            return 0;
        }
    }
    return s.len > 0;
}

int devcache_field_is(devcache_slice_t s, const char *text)
{
    apr_size_t i;

    for (i = 0; i < s.len; i++) {
        if (!text[i] || devcache_field_lower_char(s.data[i]) != text[i]) {
            return 0;
        }
    }
    return text[i] == '\0';
}

char *devcache_field_lower(const char *data, apr_size_t len, apr_pool_t *p)
{
    char *text = apr_pstrmemdup(p, data, len);
    char *c;

    for (c = text; *c; c++) {
        *c = devcache_field_lower_char(*c);
    }
    return text;
}

devcache_slice_t devcache_field_trim(devcache_slice_t s)
{
    while (s.len && is_space(s.data[0])) {
        s.data++;
        s.len--;
    }
    while (s.len && is_space(s.data[s.len - 1])) {
        s.len--;
    }
    return s;
}

/* Behind the quoted string that begins at c (RFC 9110 section 5.6.4), or at the end. */
static const char *skip_quoted(const char *c)
{
    for (c++; *c && *c != '"'; c++) {
        if (*c == '\\' && c[1]) {
            c++;
        }
    }
    return *c ? c + 1 : c;
}

int devcache_field_next(const char **cursor, devcache_slice_t *member)
{
    const char *c = *cursor;
    const char *begin;

    while (*c == ',' || is_space(*c)) {
        c++;
    }
    begin = c;
    while (*c && *c != ',') {
        c = *c == '"' ? skip_quoted(c) : c + 1;
    }
    *cursor = c;
    *member = devcache_field_trim(devcache_slice(begin, (apr_size_t)(c - begin)));
    return member->len > 0;
}

int devcache_field_has(const apr_table_t *headers, const char *name, const char *text)
{
    devcache_slice_t member;
    const char *line;
    int index = 0;

    while ((line = devcache_field_line(headers, name, &index)) != NULL) {
        while (devcache_field_next(&line, &member)) {
            if (devcache_field_is(member, text)) {
                return 1;
            }
        }
    }
    return 0;
}

int devcache_field_same_variable(const char *a, const char *b, apr_size_t len)
{
    for (; len && *a && *b; a++, b++, len--) {
        char ca = *a == '_' ? '-' : devcache_field_lower_char(*a);
        char cb = *b == '_' ? '-' : devcache_field_lower_char(*b);
        if (ca != cb) {
            return 0;
        }
    }
    return len == 0 || *a == *b;
}

/* --- numbers --------------------------------------------------------------------- */

apr_int64_t devcache_field_delta(devcache_slice_t s)
{
    apr_int64_t v = 0;
    apr_size_t i;

    for (i = 0; i < s.len; i++) {
        if (!is_digit(s.data[i])) {
            return -1;
        }
        /* RFC 9111 section 1.2.2: too large to represent is 2^31. */
        if (v < DEVCACHE_FIELD_DELTA_MAX) {
            v = v * 10 + (s.data[i] - '0');
        }
    }
    if (s.len == 0) {
        return -1;
    }
    return v < DEVCACHE_FIELD_DELTA_MAX ? v : DEVCACHE_FIELD_DELTA_MAX;
}

int devcache_field_qvalue(devcache_slice_t s)
{
    int weight = 0, unit = 1000;
    apr_size_t i;

    if (!s.len || s.len > 5 || (s.data[0] != '0' && s.data[0] != '1') ||
        (s.len > 1 && s.data[1] != '.')) {
        return -1;
    }
    for (i = 0; i < s.len; i += i ? 1 : 2) {
        if (!apr_isdigit(s.data[i])) {
            return -1;
        }
        weight += (s.data[i] - '0') * unit;
        unit /= 10;
    }
    return weight <= 1000 ? weight : -1;
}

apr_int64_t devcache_field_age(const apr_table_t *headers)
{
    devcache_slice_t member;
    const char *line;
    int index = 0;

    if (!apr_table_get(headers, "Age")) {
        return -1;
    }
    /* RFC 9111 section 5.1: of a list the first member counts, and a member that is not
     * a number is ignored rather than replaced by a later one. */
    while ((line = devcache_field_line(headers, "Age", &index)) != NULL) {
        if (devcache_field_next(&line, &member)) {
            return devcache_field_delta(member);
        }
    }
    return -1;
}

/* --- dates ----------------------------------------------------------------------- */

/* A date is matched against a pattern, character by character:
 *   w  weekday, three letters     W  weekday in full     m  month, three letters
 *   y Y  two, four digits of year    d  two digits of day    D  the same, first may be
 *   a space    h n s  two digits of hour, minute, second
 * Anything else stands for itself, letters in any case. */
static const char *const date_patterns[] = {
    "w, d m Y h:n:s GMT", /* IMF-fixdate */
    "W, d-m-y h:n:s GMT", /* RFC 850 */
    "w m D h:n:s Y",      /* asctime() */
};

static const char *const weekdays[] = {"sunday",   "monday", "tuesday", "wednesday",
                                       "thursday", "friday", "saturday"};
static const char *const months[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                     "jul", "aug", "sep", "oct", "nov", "dec"};

/* Which of n names stands at *c, of which `len` letters count (0: all)? -1: none. */
static int match_name(const char **c, const char *const *names, int n, apr_size_t len)
{
    char first = devcache_field_lower_char(**c);
    int i;

    for (i = 0; i < n; i++) {
        apr_size_t size = len ? len : strlen(names[i]);
        if (names[i][0] == first && strncasecmp(*c, names[i], size) == 0) {
            *c += size;
            return i;
        }
    }
    return -1;
}

static int match_number(const char **c, int digits, int padded)
{
    int v = 0;

    for (; digits > 0; digits--, (*c)++) {
        if (padded && **c == ' ') {
            padded = 0;
            continue;
        }
        if (!is_digit(**c)) {
            return -1;
        }
        padded = 0;
        v = v * 10 + (**c - '0');
    }
    return v;
}

typedef struct {
    int year, month, day, hour, minute, second; /* month from 0 */
    int short_year;
} date_t;

/* One letter of a pattern at *c; 0 if the value does not fit. */
static int match_letter(char letter, const char **c, date_t *d)
{
    switch (letter) {
    case 'w':
        return match_name(c, weekdays, 7, 3) >= 0;
    case 'W':
        return match_name(c, weekdays, 7, 0) >= 0;
    case 'm':
        return (d->month = match_name(c, months, 12, 3)) >= 0;
    case 'd':
        return (d->day = match_number(c, 2, 0)) >= 0;
    case 'D':
        return (d->day = match_number(c, 2, 1)) >= 0;
    case 'y':
        d->short_year = 1;
        return (d->year = match_number(c, 2, 0)) >= 0;
    case 'Y':
        return (d->year = match_number(c, 4, 0)) >= 0;
    case 'h':
        return (d->hour = match_number(c, 2, 0)) >= 0;
    case 'n':
        return (d->minute = match_number(c, 2, 0)) >= 0;
    case 's':
        return (d->second = match_number(c, 2, 0)) >= 0;
    default:
        return devcache_field_lower_char(*(*c)++) == devcache_field_lower_char(letter);
    }
}

static int match_date(const char *pattern, const char *c, date_t *d)
{
    for (; *pattern; pattern++) {
        if (!*c || !match_letter(*pattern, &c, d)) {
            return 0;
        }
    }
    return *c == '\0';
}

static int is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int in_calendar(const date_t *d)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int last = days[d->month] + (d->month == 1 && is_leap(d->year));

    /* A leap second is a valid second (RFC 9110 section 5.6.7). */
    return d->day >= 1 && d->day <= last && d->hour <= 23 && d->minute <= 59 &&
           d->second <= 60;
}

/* Days from 1970-01-01 in the proleptic Gregorian calendar: years begin in March, so
 * that the leap day is the last of its year. */
static apr_int64_t day_number(const date_t *d)
{
    apr_int64_t year = d->month < 2 ? d->year - 1 : d->year;
    apr_int64_t month = (d->month + 10) % 12;

    return year * 365 + (year + 400) / 4 - (year + 400) / 100 + (year + 400) / 400 +
           (month * 153 + 2) / 5 + d->day - 719566;
}

static apr_time_t date_instant(const date_t *d)
{
    apr_int64_t hours = day_number(d) * 24 + d->hour;
    return apr_time_from_sec((hours * 60 + d->minute) * 60 + d->second);
}

/* RFC 9110 section 5.6.7: a two-digit year that seems more than 50 years ahead is the
 * latest past year with these digits. */
static void complete_year(date_t *d, apr_time_t near)
{
    apr_time_exp_t now;

    apr_time_exp_gmt(&now, near);
    d->year += (now.tm_year + 1900) / 100 * 100;
    if (d->year > now.tm_year + 1900 + 50) {
        d->year -= 100;
    } else if (d->year <= now.tm_year + 1900 - 50) {
        d->year += 100;
    }
}

/* The first of the patterns, which nearly all dates have: what stands where is known. */
static int match_fixdate(const char *c, date_t *d)
{
    const char *weekday = c, *month = c + 8;
    const char *number[] = {c + 5, c + 12, c + 17, c + 20, c + 23};

    return strlen(c) == sizeof "Sun, 06 Nov 1994 08:49:37 GMT" - 1 && c[3] == ',' &&
           c[4] == ' ' && c[7] == ' ' && c[11] == ' ' && c[16] == ' ' && c[19] == ':' &&
           c[22] == ':' && c[25] == ' ' && !strncasecmp(c + 26, "GMT", 3) &&
           match_name(&weekday, weekdays, 7, 3) >= 0 &&
           (d->month = match_name(&month, months, 12, 3)) >= 0 &&
           (d->day = match_number(&number[0], 2, 0)) >= 0 &&
           (d->year = match_number(&number[1], 4, 0)) >= 0 &&
           (d->hour = match_number(&number[2], 2, 0)) >= 0 &&
           (d->minute = match_number(&number[3], 2, 0)) >= 0 &&
           (d->second = match_number(&number[4], 2, 0)) >= 0;
}

int devcache_field_date(const char *value, apr_time_t near, apr_time_t *out)
{
    apr_size_t i;

    for (i = 0; i < sizeof(date_patterns) / sizeof(*date_patterns); i++) {
        date_t d = {0};
        if (i ? match_date(date_patterns[i], value, &d) : match_fixdate(value, &d)) {
            if (d.short_year) {
                complete_year(&d, near);
            }
            if (!in_calendar(&d)) {
                return 0;
            }
            *out = date_instant(&d);
            return 1;
        }
    }
    return 0;
}

/* --- entity tags ----------------------------------------------------------------- */

/* One entity tag at the start of c; behind it, or NULL. No escapes in there: a
 * backslash is a character like any other (RFC 9110 section 8.8.3). */
static const char *match_etag(const char *c, devcache_etag_t *out)
{
    const char *begin;

    out->weak = c[0] == 'W' && c[1] == '/';
    begin = out->weak ? c + 2 : c;
    if (*begin != '"') {
        return NULL;
    }
    for (c = begin + 1; *c && *c != '"'; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f) {
            return NULL;
        }
    }
    if (!*c) {
        return NULL;
    }
    c++;
    out->opaque = devcache_slice(begin, (apr_size_t)(c - begin));
    return c;
}

int devcache_field_etag(const char *value, devcache_etag_t *out)
{
    const char *end = value ? match_etag(value, out) : NULL;
    return end && *end == '\0';
}

int devcache_field_next_etag(const char **cursor, devcache_etag_t *out)
{
    const char *c = *cursor;

    while (*c) {
        const char *end;
        while (*c == ',' || is_space(*c)) {
            c++;
        }
        end = match_etag(c, out);
        if (end) {
            while (is_space(*end)) {
                end++;
            }
            if (!*end || *end == ',') {
                *cursor = end;
                return 1;
            }
            c = end;
        }
        while (*c && *c != ',') {
            c++;
        }
    }
    *cursor = c;
    return 0;
}

/* --- secrets ---------------------------------------------------------------------- */

int devcache_field_has_part(const char *name, const char *const parts[])
{
    while (*name) {
        apr_size_t len = strcspn(name, "-_");
        int i;

        for (i = 0; parts[i]; i++) {
            if (strlen(parts[i]) == len && !strncasecmp(parts[i], name, len)) {
                return 1;
            }
        }
        name += len + (name[len] != '\0');
    }
    return 0;
}

int devcache_field_is_secret(const char *name)
{
    static const char *const parts[] = {"auth",     "authorization", "cookie",    "pass",
                                        "password", "secret",        "signature", "token",
                                        "user",     "username",      NULL};
    apr_size_t len = strlen(name);

    if (!strcasecmp(name, "User-Agent")) {
        return 0;
    }
    return devcache_field_has_part(name, parts) ||
           (len > 4 && !strcasecmp(name + len - 4, "-key") &&
            strncasecmp(name, "surrogate", 9) != 0 &&
            strncasecmp(name, "cache", 5) != 0 && strncasecmp(name, "x-cache", 7) != 0);
}
