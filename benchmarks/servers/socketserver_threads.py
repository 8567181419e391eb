"""A thread for each connection, with the standard library's socketserver."""

from socketserver import BaseRequestHandler, ThreadingTCPServer
from time import ctime


class Handler(BaseRequestHandler):
    """Answers each chunk with the time and the chunk."""

    def handle(self) -> None:
        """Answer until the client closes the connection."""
        while data := self.request.recv(65536):
            self.request.sendall(b"[%s] %s" % (ctime().encode(), data))


with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
    server.daemon_threads = True
    print(f"listening on 127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
