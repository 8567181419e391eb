"""A greenlet for each connection, with gevent."""

from time import ctime

from gevent.server import StreamServer
from gevent.socket import socket


def answer(client: socket, _address: object) -> None:
    """Answer each chunk with the time and the chunk."""
    while data := client.recv(65536):
        client.sendall(b"[%s] %s" % (ctime().encode(), data))


server = StreamServer(("127.0.0.1", 0), answer)
server.start()
print(f"listening on 127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
