/* The server's memory for connections that have come to a certain state, and stay in it. */

#include "load.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define PIECE (1 << 14)  /* the most that one TLS record holds */
#define WARM 20          /* connections that a server has had before its memory is measured; they stay */
#define QUIET 100        /* milliseconds without work after which a server waits for its clients */

/* Bring a new connection to a state. */
struct state {
    const char *name;
    void (*reach)(struct stream *stream);
};

/* Connect, and send something that is not all that must come first. */
static void begin(struct stream *stream, const char *data, size_t length)
{
    stream->fd = connecting_socket();
    stream_wait(stream, true);
    check_connected(stream->fd);
    if (send(stream->fd, data, length, MSG_NOSIGNAL) != (ssize_t)length)
        fail("cannot send: %s", strerror(errno));
}

static void silent(struct stream *stream)
{
    begin(stream, "", 0);
}

static void hello(struct stream *stream)
{
    static const char data[PIECE - 1] = "\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03";  /* a full record */
    begin(stream, data, sizeof data);
}

static void header(struct stream *stream)
{
    static const char data[60000] = "\r\n\r\n\0\r\nQUIT\n\x21\x00\xff\xff";  /* version 2, of 64 KiB */
    begin(stream, data, sizeof data);
}

/* Send newlines, which a server in line framing answers with a stamp each, and read the answer. */
static void exchange(struct stream *stream, size_t newlines)
{
    static char data[PIECE], answer[PIECE];
    size_t missing = newlines * (STAMP + 1);
    memset(data, '\n', sizeof data);
    stream_connect(stream);
    if (stream_send(stream, data, newlines) != newlines)
        fail("cannot send: the socket is full");
    while (missing > 0) {
        ssize_t length = stream_receive(stream, answer, sizeof answer);
        if (length == 0 || length > (ssize_t)missing)
            fail("wrong answer: not a line for each newline");
        if (length > 0)
            missing -= (size_t)length;
        else
            stream_wait(stream, false);
    }
}

static void idle(struct stream *stream)
{
    exchange(stream, 1);
}

static void after_much(struct stream *stream)
{
    exchange(stream, PIECE);
}

/* Send newlines until the server reads no more, and read nothing. */
static void unread(struct stream *stream)
{
    static char data[PIECE];
    struct pollfd socket = {.events = POLLOUT};
    memset(data, '\n', sizeof data);
    stream_connect(stream);
    socket.fd = stream->fd;
    while (poll(&socket, 1, QUIET) == 1)
        stream_send(stream, data, sizeof data);
}

static const struct state states[] = {
    {"silent", silent}, {"hello", hello}, {"header", header},
    {"idle", idle}, {"after-much", after_much}, {"unread", unread},
};

/* Wait until the server has done what there is to do, and return its memory. */
static long memory_at_rest(void)
{
    double cpu;
    do {
        cpu = server_cpu();
        poll(NULL, 0, QUIET);
    } while (server_cpu() - cpu > QUIET / 1e3 / 100);
    return server_memory();
}

void measure_states(const char *name, int count)
{
    struct stream *streams = calloc((size_t)(WARM + count), sizeof *streams);
    const struct state *state = states;
    while (state < states + sizeof states / sizeof *states && strcmp(state->name, name) != 0)
        state++;
    if (streams == NULL || state == states + sizeof states / sizeof *states)
        fail("there is no state called %s", name);
    for (int i = 0; i < WARM; i++)
        state->reach(&streams[i]);
    long before = memory_at_rest();
    for (int i = WARM; i < WARM + count; i++)
        state->reach(&streams[i]);
    long bytes = memory_at_rest() - before;
    if (bytes < 1)
        bytes = 1;  /* a few small connections fit into what the server already had */
    printf("{\"connections\": %d, \"bytes\": %ld}\n", count, bytes);
}
