/* Greedy clients, and what they send. */

#ifndef ATTACK_H
#define ATTACK_H

#include "load.h"

#define GREEDY_PAYLOAD (1 << 16)  /* bytes that a greedy client sends at a time, at most */

/* A kind of greedy client.  It sends its payload again and again, as fast as the server reads, and discards
   the answers. */
struct kind {
    const char *name;
    /* Write the payload, and return its length. */
    size_t (*payload)(struct stream *stream, char *data);
    bool once;            /* it resets its connection after the first answer, and connects again */
    bool fresh;           /* it does the connection's handshake, and each payload is a new one */
    const char *preface;  /* sent by the polite client before its messages, or NULL */
};

/* Return the kind with this name. */
const struct kind *kind_named(const char *name);

/* hello.c: write a TLS 1.3 ClientHello with one key share, and return its length. */
size_t hello_x25519(struct stream *stream, char *data);
size_t hello_p384(struct stream *stream, char *data);
size_t hello_p521(struct stream *stream, char *data);
size_t hello_ffdhe8192(struct stream *stream, char *data);

/* greedy.c: run so many greedy clients until the process is killed, and add up the bytes that they send. */
_Noreturn void be_greedy(const struct kind *kind, int clients, volatile size_t *bytes);

#endif
