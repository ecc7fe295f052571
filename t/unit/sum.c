/* The sum is XXH3 by whatever instructions it is computed: stores outlive processors. */
#include <stdlib.h>
#include "devcache_sum.h"
#include "tap.h"

int main(void)
{
    static unsigned char data[300000];
    apr_size_t len, i;
    int same = 1;

    for (i = 0; i < sizeof(data); i++) {
        data[i] = (unsigned char)(i * 2654435761u >> 24);
    }
    for (len = 0; len < 3000; len++) {
        same &= devcache_sum(data + len % 64, len) == XXH3_64bits(data + len % 64, len);
    }
    ok(same, "lengths from 0 on, at any alignment, are summed as the library does");
    for (len = 3000; len < sizeof(data) - 64; len += 1021) {
        same &= devcache_sum(data + len % 64, len) == XXH3_64bits(data + len % 64, len);
    }
    ok(same, "and long ones");
    ok(devcache_sum("", 0) == 0x2d06800538d394c2u, "of nothing it is what XXH3 says");
    return done_testing();
}
