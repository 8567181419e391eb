"""
An asyncio protocol.

Usage: asyncio_protocol.py asyncio|uvloop [PEM], with TLS if there is a PEM file.
"""

import asyncio
import ssl
import sys
from time import ctime
from typing import cast


class TimestampProtocol(asyncio.Protocol):
    """Answers each chunk with the time and the chunk."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for the answers."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass

    def data_received(self, data: bytes) -> None:
        """Answer."""
        self.transport.write(b"[%s] %s" % (ctime().encode(), data))


async def main() -> None:
    """Serve."""
    tls = None
    for pem in sys.argv[2:]:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(pem)
    server = await asyncio.get_running_loop().create_server(TimestampProtocol, "127.0.0.1", 0, ssl=tls)
    print(f"listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if sys.argv[1] == "uvloop":
    import uvloop

    uvloop.run(main())
else:
    asyncio.run(main())
