/* One connection alone: wait for it. */

#include "load.h"

#include <poll.h>

static short wait_for(struct stream *stream, short events)
{
    struct pollfd connection = {.fd = stream->fd, .events = events};
    if (poll(&connection, 1, (int)(PATIENCE * 1000)) != 1)
        fail("no answer within %g seconds", PATIENCE);
    return connection.revents;
}

void stream_connect(struct stream *stream)
{
    stream_open(stream);
    wait_for(stream, POLLOUT);
    check_connected(stream->fd);
    while (!stream_handshake(stream))
        wait_for(stream, POLLIN);
}

short stream_wait(struct stream *stream, bool sending)
{
    return wait_for(stream, (short)(POLLIN | (sending ? POLLOUT : 0)));
}
