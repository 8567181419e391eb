/* Connections that send one message at a time, each different, and check every byte of its answer. */

#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define POOL (1 << 20)   /* bytes from which messages are cut, each at its own place */
#define LARGEST (1 << 16)
#define AT_ONCE 4        /* connections that are opened at the same time: less than any backlog */
#define WARM 100         /* connections that a server has had before its memory is measured */

struct connection {
    int fd;
    bool connected;
    size_t offset;    /* of the message in the pool */
    size_t received;  /* bytes of its answer */
    char stamp[STAMP];
    double begun;     /* when the message was sent: now() */
    time_t sent;      /* the same as a time of day */
};

static struct connection *connections;
static char pool[POOL + LARGEST];
static size_t message_size;
static int epoll;
static int connected;  /* how many have been, in all */

static void prepare(int count, size_t size)
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

static void begin(struct connection *connection)
{
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = connection};
    connection->fd = connecting_socket();
    connection->connected = false;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &event) < 0)
        fail("cannot watch a connection: %s", strerror(errno));
}

static void send_message(struct connection *connection)
{
    connection->offset = chance() % POOL;
    connection->received = 0;
    connection->sent = time(NULL);
    connection->begun = now();
    ssize_t sent = send(connection->fd, pool + connection->offset, message_size, MSG_NOSIGNAL);
    if (sent != (ssize_t)message_size)
        fail("cannot send: %s", sent < 0 ? strerror(errno) : "the socket is full");
}

static void finish_connecting(struct connection *connection)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0)
        fail("cannot connect: %s", strerror(error));
    connection->connected = true;
    connected++;
    epoll_ctl(epoll, EPOLL_CTL_MOD, connection->fd, &event);
    send_message(connection);
}

/* Read and check what has come; return whether that was the rest of the answer. */
static bool receive(struct connection *connection)
{
    static char buffer[STAMP + LARGEST + 1];
    ssize_t length = recv(connection->fd, buffer, sizeof buffer, 0);
    if (length < 0)
        fail("cannot receive: %s", strerror(errno));
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

/* Serve all connections until one has its answer; return that one, or NULL after the deadline. */
static struct connection *await_answer(double deadline)
{
    static struct epoll_event events[256];
    static int ready, next;
    for (;;) {
        while (next < ready) {
            struct connection *connection = events[next++].data.ptr;
            if (!connection->connected)
                finish_connecting(connection);
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

static struct connection *need_answer(double deadline)
{
    struct connection *connection = await_answer(deadline);
    if (connection == NULL)
        fail("no answer within %g seconds", PATIENCE);
    return connection;
}

/* Open connections, and wait until each has had one answer. */
static void open_connections(int from, int to)
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

static int ascending(const void *left, const void *right)
{
    float difference = *(const float *)left - *(const float *)right;
    return (difference > 0) - (difference < 0);
}

/* Keep in_flight messages on their way; the connection that has waited longest sends the next. */
void measure_messages(int count, int in_flight, size_t size, double seconds)
{
    prepare(count, size);
    open_connections(0, count);
    struct connection **waiting = calloc((size_t)count, sizeof *waiting);  /* a ring */
    size_t room = 1 << 20, messages = 0;
    float *latencies = malloc(room * sizeof *latencies);
    if (waiting == NULL || latencies == NULL)
        fail("out of memory");
    int first = 0, last = 0;
    for (int i = 0; i < count; i++)
        waiting[i] = &connections[i];
    for (; first < in_flight; first++)
        send_message(waiting[first]);
    first %= count;

    double from = now() + WARM_UP * seconds, to = from + seconds;
    double cpu = 0;
    bool counting = false, over = false;
    while (in_flight > 0) {
        struct connection *connection = need_answer(to + PATIENCE);
        double time = now();
        if (!counting && time >= from) {
            counting = true;
            cpu = server_cpu();
            from = time;
            to = from + seconds;
        } else if (counting && !over) {
            if (messages == room) {
                room *= 2;
                latencies = realloc(latencies, room * sizeof *latencies);
                if (latencies == NULL)
                    fail("out of memory");
            }
            latencies[messages++] = (float)(time - connection->begun);
        }
        if (counting && !over && time >= to) {
            over = true;
            cpu = server_cpu() - cpu;
            to = time;
        }
        if (over) {
            in_flight--;
            continue;
        }
        waiting[last] = connection;
        last = (last + 1) % count;
        send_message(waiting[first]);
        first = (first + 1) % count;
    }
    qsort(latencies, messages, sizeof *latencies, ascending);
    printf("{\"messages\": %zu, \"seconds\": %.6f, \"cpu\": %.9f, "
           "\"p50\": %.7f, \"p99\": %.7f, \"p999\": %.7f}\n",
           messages, to - from, cpu, latencies[messages / 2],
           latencies[messages * 99 / 100], latencies[messages * 999 / 1000]);
}

/* Connect, send, wait for the answer, close, and again. */
void measure_churn(int at_once, size_t size, double seconds)
{
    prepare(at_once, size);
    for (int i = 0; i < at_once; i++)
        begin(&connections[i]);
    double from = now() + WARM_UP * seconds, to = from + seconds;
    double cpu = 0, time;
    long served = 0;
    bool counting = false;
    do {
        struct connection *connection = need_answer(to + PATIENCE);
        close(connection->fd);
        begin(connection);
        time = now();
        if (counting) {
            served++;
        } else if (time >= from) {
            counting = true;
            cpu = server_cpu();
            from = time;
            to = from + seconds;
        }
    } while (time < to);
    printf("{\"connections\": %ld, \"seconds\": %.6f, \"cpu\": %.9f}\n",
           served, time - from, server_cpu() - cpu);
}

/* Connect all at once, and send as soon as connected; what takes longer than the limit is given up. */
void measure_burst(int count, size_t size, double limit)
{
    prepare(count, size);
    double from = now(), all_connected = limit, all_answered = limit;
    for (int i = 0; i < count; i++)
        begin(&connections[i]);
    for (int answered = 0; answered < count; answered++) {
        struct connection *connection = await_answer(from + limit);
        if (connected == count && all_connected == limit)
            all_connected = now() - from;
        if (connection == NULL)
            break;
        if (answered == count - 1)
            all_answered = now() - from;
    }
    printf("{\"connected\": %.6f, \"answered\": %.6f}\n",
           all_connected < limit ? all_connected : limit, all_answered < limit ? all_answered : limit);
}

/* Open connections that are idle once each has had an answer. */
void measure_memory(int count, size_t size)
{
    prepare(count + WARM, size);
    open_connections(0, WARM);
    long before = server_memory();
    open_connections(WARM, WARM + count);
    printf("{\"connections\": %d, \"bytes\": %ld}\n", count, server_memory() - before);
}
