/* Greedy clients: each sends as fast as it can, and connects again when its connection ends. */

#include "attack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct client {
    struct stream stream;
    char *data;      /* the payload */
    size_t length;
    size_t sent;     /* of the payload */
};

static const struct kind *kind;
static int epoll;

static void renew_payload(struct client *client)
{
    client->sent = 0;
    if (client->length == 0 || kind->fresh)
        client->length = kind->payload(&client->stream, client->data);
}

static void open_client(struct client *client)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = client};
    if (kind->fresh)
        stream_connect(&client->stream);
    else
        client->stream.fd = connecting_socket();
    renew_payload(client);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, client->stream.fd, &event) < 0)
        fail("cannot watch a connection: %s", strerror(errno));
}

/* End a connection with a reset, and begin another one. */
static void reopen(struct client *client)
{
    const struct linger reset = {.l_onoff = 1};
    setsockopt(client->stream.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (kind->fresh)
        stream_close(&client->stream);
    else
        close(client->stream.fd);
    open_client(client);
}

/* Discard what has arrived; return false at the end of the connection. */
static bool discard(struct client *client)
{
    static char rubbish[1 << 18];
    ssize_t length = recv(client->stream.fd, rubbish, sizeof rubbish, 0);
    return length > 0 || (length < 0 && errno == EAGAIN);
}

/* Send the rest of the payload, and return how many bytes were sent, or -1 at the end of the connection. */
static ssize_t send_payload(struct client *client)
{
    const size_t left = client->length - client->sent;
    ssize_t sent = send(client->stream.fd, client->data + client->sent, left, MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN ? 0 : -1;
    client->sent += (size_t)sent;
    return sent;
}

static void serve(struct client *client, uint32_t events, volatile size_t *bytes)
{
    struct epoll_event only_reading = {.events = EPOLLIN, .data.ptr = client};
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && (!discard(client) || kind->once)) {
        reopen(client);
        return;
    }
    if (!(events & EPOLLOUT))
        return;
    ssize_t sent = send_payload(client);
    if (sent < 0) {
        reopen(client);
        return;
    }
    *bytes += (size_t)sent;
    if (client->sent < client->length)
        return;
    if (kind->once)
        epoll_ctl(epoll, EPOLL_CTL_MOD, client->stream.fd, &only_reading);
    else
        renew_payload(client);
}

void be_greedy(const struct kind *which, int count, volatile size_t *bytes)
{
    static struct epoll_event events[256];
    struct client *clients = calloc((size_t)count, sizeof *clients);
    kind = which;
    epoll = epoll_create1(0);
    for (int i = 0; i < count; i++) {
        clients[i].data = malloc(GREEDY_PAYLOAD);
        if (clients[i].data == NULL)
            fail("out of memory");
        open_client(&clients[i]);
    }
    for (;;) {
        int ready = epoll_wait(epoll, events, sizeof events / sizeof *events, -1);
        for (int i = 0; i < ready; i++)
            serve(events[i].data.ptr, events[i].events, bytes);
    }
}
