/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys, and files with a secret.
 *
 * By the EVP interface of OpenSSL that 1.1.1 and 3 have both. What is signed is hashed
 * where it is: an object may be large.
 */
#include "tier/key.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *check_mode(const struct stat *st, apr_pool_t *p)
{
    if (!S_ISREG(st->st_mode)) {
        return "is no plain file";
    }
    return st->st_mode & (S_IRWXG | S_IRWXO)
               ? apr_psprintf(p, "can be read by others (mode %03o): chmod 600 it",
                              (unsigned)st->st_mode & 0777)
               : NULL;
}

const char *devcache_tier_key_guarded(const char *path, apr_pool_t *p)
{
    struct stat st;

    return stat(path, &st) != 0 ? apr_psprintf(p, "cannot be read: %s", strerror(errno))
                                : check_mode(&st, p);
}

const char *devcache_tier_key_read(const char *path, devcache_slice_t *pbytes,
                                   apr_pool_t *p)
{
    char *buf = apr_palloc(p, DEVCACHE_TIER_KEY_FILE_MAX + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    const char *error = NULL;
    struct stat st;
    ssize_t n = 0;

    if (fd < 0 || fstat(fd, &st) != 0 ||
        (n = read(fd, buf, DEVCACHE_TIER_KEY_FILE_MAX + 1)) < 0) {
        error = apr_psprintf(p, "cannot be read: %s", strerror(errno));
    } else if ((error = check_mode(&st, p)) == NULL && n > DEVCACHE_TIER_KEY_FILE_MAX) {
        error = "is longer than 1024 bytes";
    }
    if (fd >= 0) {
        close(fd);
    }
    if (!error) {
        buf[n] = '\0';
        *pbytes = devcache_slice(buf, strcspn(buf, "\r\n"));
        error = pbytes->len == 0 ? "has nothing in its first line" : NULL;
        buf[pbytes->len] = '\0';
    }
    return error;
}

static int put_part(EVP_MD_CTX *hash, devcache_slice_t part)
{
    apr_uint64_t len = htole64((apr_uint64_t)part.len);

    return EVP_DigestSignUpdate(hash, &len, sizeof(len)) == 1 &&
           (part.len == 0 || EVP_DigestSignUpdate(hash, part.data, part.len) == 1);
}

static int put_parts(EVP_MD_CTX *hash, const char *name, const devcache_slice_t *parts,
                     unsigned n)
{
    int fine = put_part(hash, devcache_slice_str(name));
    unsigned i;

    for (i = 0; i < n && fine; i++) {
        fine = put_part(hash, parts[i]);
    }
    return fine;
}

int devcache_tier_key_sign(const devcache_tier_key_t *key, const devcache_slice_t *parts,
                           unsigned n, unsigned char out[DEVCACHE_TIER_SIGNATURE])
{
    EVP_MD_CTX *hash = key->secret.data ? EVP_MD_CTX_new() : NULL;
    EVP_PKEY *secret = key->secret.data
                           ? EVP_PKEY_new_raw_private_key(
                                 EVP_PKEY_HMAC, NULL,
                                 (const unsigned char *)key->secret.data, key->secret.len)
                           : NULL;
    size_t len = DEVCACHE_TIER_SIGNATURE;
    int fine = hash && secret &&
               EVP_DigestSignInit(hash, NULL, EVP_sha256(), NULL, secret) == 1 &&
               put_parts(hash, key->name, parts, n) &&
               EVP_DigestSignFinal(hash, out, &len) == 1 &&
               len == DEVCACHE_TIER_SIGNATURE;

    EVP_MD_CTX_free(hash);
    EVP_PKEY_free(secret);
    return fine;
}

int devcache_tier_key_matches(const devcache_tier_key_t *key,
                              const devcache_slice_t *parts, unsigned n,
                              const void *signature)
{
    unsigned char own[DEVCACHE_TIER_SIGNATURE];

    return devcache_tier_key_sign(key, parts, n, own) &&
           CRYPTO_memcmp(own, signature, sizeof(own)) == 0;
}
