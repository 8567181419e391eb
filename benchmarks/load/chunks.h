/* Connections that send one message at a time and check every byte of its answer. */

#ifndef CHUNKS_H
#define CHUNKS_H

#include "load.h"

struct connection {
    struct stream stream;
    enum { CONNECTING, HANDSHAKE, OPEN } state;
    size_t offset;    /* of the message in the pool */
    size_t received;  /* bytes of its answer */
    char stamp[STAMP];
    double begun;     /* when the message was sent: now() */
    time_t sent;      /* the same as a time of day */
};

extern struct connection *connections;

/* Connections that have completed their handshake since the program started. */
extern int connected;

/* Allocate the connections, and make the pool from which messages of this size are cut. */
void prepare(int count, size_t size);

/* Begin to open a connection; it sends its first message by itself. */
void begin(struct connection *connection);

void send_message(struct connection *connection);

/* Serve all connections until one has its answer; return that one, or NULL after the deadline. */
struct connection *await_answer(double deadline);

/* The same, but fail after the deadline. */
struct connection *need_answer(double deadline);

/* Open the connections with these numbers, and wait until each has had one answer. */
void open_connections(int from, int to);

#endif
