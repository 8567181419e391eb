"""asyncio streams: a stamp for each chunk, or for each line with the argument ``lines``."""

import asyncio
import sys
from time import ctime


async def answer_chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each chunk with the time and the chunk."""
    while data := await reader.read(65536):
        writer.write(b"[%s] %s" % (ctime().encode(), data))
        await writer.drain()
    writer.close()


async def answer_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each line with the time and the line."""
    while line := await reader.readline():
        writer.write(b"[%s] %s" % (ctime().encode(), line))
        await writer.drain()
    writer.close()


async def main() -> None:
    """Serve."""
    answer = answer_lines if sys.argv[1:] == ["lines"] else answer_chunks
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(f"listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


asyncio.run(main())
