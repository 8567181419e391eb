"""An asyncio protocol; with the argument ``uvloop``, on uvloop."""

import asyncio
import sys
from time import ctime
from typing import cast


class TimestampProtocol(asyncio.Protocol):
    """Answers each chunk with the time and the chunk."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what answers go through."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's has no such base

    def data_received(self, data: bytes) -> None:
        """Answer."""
        self.transport.write(b"[%s] %s" % (ctime().encode(), data))


async def main() -> None:
    """Serve."""
    server = await asyncio.get_running_loop().create_server(TimestampProtocol, "127.0.0.1", 0)
    print(f"listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if sys.argv[1:] == ["uvloop"]:
    import uvloop

    uvloop.run(main())
else:
    asyncio.run(main())
