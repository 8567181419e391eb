/* A connection to the server over TCP. */

#include "load.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void stream_open(struct stream *stream)
{
    stream->fd = connecting_socket();
}

bool stream_handshake(struct stream *stream)
{
    (void)stream;
    return true;
}

size_t stream_send(struct stream *stream, const char *data, size_t length)
{
    ssize_t sent = send(stream->fd, data, length, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        fail("cannot send: %s", strerror(errno));
    return sent < 0 ? 0 : (size_t)sent;
}

ssize_t stream_receive(struct stream *stream, char *data, size_t room)
{
    ssize_t length = recv(stream->fd, data, room, 0);
    if (length < 0 && errno != EAGAIN)
        fail("cannot receive: %s", strerror(errno));
    return length;
}

size_t stream_one_byte(struct stream *stream, char *data)
{
    (void)stream;
    *data = 'x';
    return 1;
}

void stream_close(struct stream *stream)
{
    close(stream->fd);
}
