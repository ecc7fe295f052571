/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file base/utf8.h
 * Is it UTF-8 (RFC 3629, section 4)? Byte by byte, so that bytes may come from anywhere.
 */
#ifndef DEVCACHE_BASE_UTF8_H
#define DEVCACHE_BASE_UTF8_H

/** Zeroed: between two characters. */
typedef struct devcache_utf8_t {
    unsigned more;      /* bytes that the character still lacks */
    unsigned low, high; /* what the next of them may be */
} devcache_utf8_t;

/** Take the next byte. @return 0 if it cannot stand here */
static inline int devcache_utf8_step(devcache_utf8_t *u, unsigned char byte)
{
    if (u->more) {
        int fits = byte >= u->low && byte <= u->high;
        u->more--;
        u->low = 0x80;
        u->high = 0xbf;
        return fits;
    }
    if (byte < 0x80) {
        return 1;
    }
    u->more = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    u->low = byte == 0xe0   ? 0xa0
             : byte == 0xf0 ? 0x90
                            : 0x80; /* not longer than needed */
    u->high = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf; /* surrogates; U+10FFFF */
    return byte >= 0xc2 && byte <= 0xf4;
}

#endif
