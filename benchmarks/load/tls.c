/* A connection to the server over TLS, by OpenSSL.  The server's certificate is not checked, and no session
   is resumed. */

#include "load.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define RECORDS 1000  /* of one byte, each of which takes 23 bytes */

static SSL_CTX *context;

static void prepare_context(void)
{
    signal(SIGPIPE, SIG_IGN);  /* OpenSSL sends without MSG_NOSIGNAL */
    context = SSL_CTX_new(TLS_client_method());
    if (context == NULL)
        fail("cannot prepare TLS: %s", ERR_reason_error_string(ERR_get_error()));
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
                                  | SSL_MODE_RELEASE_BUFFERS);
}

/* Return whether an operation only has to wait, or has come to the end; fail on every error. */
static bool must_wait(struct stream *stream, int result)
{
    const char *reason = strerror(errno);
    switch (SSL_get_error(stream->tls, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return true;
    case SSL_ERROR_ZERO_RETURN:
        return false;
    case SSL_ERROR_SSL:
        reason = ERR_reason_error_string(ERR_get_error());
    }
    fail("TLS: %s", reason);
}

void stream_open(struct stream *stream)
{
    if (context == NULL)
        prepare_context();
    stream->fd = connecting_socket();
    stream->tls = SSL_new(context);
    if (stream->tls == NULL || SSL_set_fd(stream->tls, stream->fd) != 1)
        fail("cannot prepare TLS: %s", ERR_reason_error_string(ERR_get_error()));
}

bool stream_handshake(struct stream *stream)
{
    int result = SSL_connect(stream->tls);
    if (result != 1 && !must_wait(stream, result))
        fail("the server closed the connection in the handshake");
    return result == 1;
}

size_t stream_send(struct stream *stream, const char *data, size_t length)
{
    size_t sent = 0;
    int result = SSL_write_ex(stream->tls, data, length, &sent);
    if (result != 1 && !must_wait(stream, result))
        fail("cannot send: the server has closed the connection");
    return sent;
}

ssize_t stream_receive(struct stream *stream, char *data, size_t room)
{
    size_t length = 0;
    int result = SSL_read_ex(stream->tls, data, room, &length);
    if (result == 1)
        return (ssize_t)length;
    return must_wait(stream, result) ? -1 : 0;
}

size_t stream_one_byte(struct stream *stream, char *data)
{
    BIO *records = BIO_new(BIO_s_mem());
    size_t sent;
    if (records == NULL)
        fail("out of memory");
    SSL_set0_wbio(stream->tls, records);
    for (int i = 0; i < RECORDS; i++)
        SSL_write_ex(stream->tls, "x", 1, &sent);
    return (size_t)BIO_read(records, data, 1 << 16);
}

void stream_close(struct stream *stream)
{
    SSL_shutdown(stream->tls);
    SSL_free(stream->tls);
    ERR_clear_error();  /* the next SSL_get_error() must not find the errors of this connection */
    close(stream->fd);
}
