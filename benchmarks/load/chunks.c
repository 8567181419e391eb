/* Connections that send one message at a time, each different, and check every byte of its answer. */

#include "chunks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define POOL (1 << 20)   /* bytes from which messages are cut, at random offsets */
#define LARGEST (1 << 16)
#define AT_ONCE 4        /* connections that open at the same time: fewer than the smallest backlog */

struct connection *connections;
int connected;

static char pool[POOL + LARGEST];
static size_t message_size;
static int epoll;

void prepare(int count, size_t size)
{
    if (size > LARGEST)
        fail("a message has at most %d bytes", LARGEST);
    message_size = size;
    for (size_t at = 0; at + sizeof(uint64_t) <= sizeof pool; at += sizeof(uint64_t)) {
        uint64_t bytes = chance();
        memcpy(pool + at, &bytes, sizeof bytes);
    }
    connections = calloc((size_t)count, sizeof *connections);
    epoll = epoll_create1(0);
    if (connections == NULL || epoll < 0)
        fail("cannot prepare %d connections: %s", count, strerror(errno));
}

static void watch(struct connection *connection, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(epoll, operation, connection->stream.fd, &event) < 0)
        fail("cannot watch a connection: %s", strerror(errno));
}

void begin(struct connection *connection)
{
    stream_open(&connection->stream);
    connection->state = CONNECTING;
    watch(connection, EPOLL_CTL_ADD, EPOLLOUT);
}

void send_message(struct connection *connection)
{
    connection->offset = chance() % POOL;
    connection->received = 0;
    connection->sent = time(NULL);
    connection->begun = now();
    if (stream_send(&connection->stream, pool + connection->offset, message_size) != message_size)
        fail("cannot send: the socket is full");
}

static void go_on_connecting(struct connection *connection)
{
    if (connection->state == CONNECTING) {
        check_connected(connection->stream.fd);
        watch(connection, EPOLL_CTL_MOD, EPOLLIN);
        connection->state = HANDSHAKE;
    }
    if (stream_handshake(&connection->stream)) {
        connection->state = OPEN;
        connected++;
        send_message(connection);
    }
}

/* Receive and check what has arrived; return whether that completed the answer. */
static bool receive(struct connection *connection)
{
    static char buffer[STAMP + LARGEST + 1];
    ssize_t length = stream_receive(&connection->stream, buffer, sizeof buffer);
    if (length < 0)
        return false;
    if (length == 0)
        fail("wrong answer: the end after %zu bytes of %zu", connection->received, STAMP + message_size);
    if (connection->received + (size_t)length > STAMP + message_size)
        fail("wrong answer: more than %zu bytes", STAMP + message_size);
    const char *data = buffer;
    size_t left = (size_t)length;
    if (connection->received < STAMP) {
        size_t part = STAMP - connection->received < left ? STAMP - connection->received : left;
        memcpy(connection->stamp + connection->received, data, part);
        connection->received += part;
        data += part;
        left -= part;
    }
    if (left > 0) {
        const char *message = pool + connection->offset;
        if (memcmp(data, message + (connection->received - STAMP), left) != 0)
            fail("wrong answer: not the bytes that were sent");
        connection->received += left;
    }
    if (connection->received < STAMP + message_size)
        return false;
    check_stamp(connection->stamp, connection->sent);
    return true;
}

struct connection *await_answer(double deadline)
{
    static struct epoll_event events[256];
    static int ready, next;
    for (;;) {
        while (next < ready) {
            struct connection *connection = events[next++].data.ptr;
            if (connection->state != OPEN)
                go_on_connecting(connection);
            else if (receive(connection))
                return connection;
        }
        double wait = deadline - now();
        if (wait <= 0)
            return NULL;
        next = 0;
        ready = epoll_wait(epoll, events, sizeof events / sizeof *events, (int)(wait * 1000) + 1);
        if (ready < 0)
            fail("cannot wait: %s", strerror(errno));
    }
}

struct connection *need_answer(double deadline)
{
    struct connection *connection = await_answer(deadline);
    if (connection == NULL)
        fail("no answer within %g seconds", PATIENCE);
    return connection;
}

void open_connections(int from, int to)
{
    int next = from;
    while (next < to && next < from + AT_ONCE)
        begin(&connections[next++]);
    for (int answered = from; answered < to; answered++) {
        need_answer(now() + PATIENCE);
        if (next < to)
            begin(&connections[next++]);
    }
}
