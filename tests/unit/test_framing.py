"""Where the stamps go."""

from __future__ import annotations

from itertools import pairwise

import pytest
from fakes import NOW, answers_to, stamp
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.abstract import FileDescriptor

from tsserv.framing import FRAMINGS, ChunkFraming, LineFraming
from tsserv.stamp import Stamp

# Newlines, and what a careless implementation could take for one or for a stamp.
STREAMS = st.lists(
    st.sampled_from([b"\n", b"\n\n", b"a", b"\r", b"\0", b"\xff", b"] ", b"[", b"%s", b"\\"]), max_size=30
).map(b"".join) | st.binary(max_size=100)


class Place:
    """Where a connection is in its lines."""

    at_line_start = True


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    """Cut a stream into chunks, none of which is empty."""
    ends = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[start:end] for start, end in pairwise(ends)]


@given(st.lists(st.binary(min_size=1)))
def test_chunk_framing_puts_one_stamp_before_each_chunk(chunks: list[bytes]) -> None:
    framing = ChunkFraming(stamp())
    assert [framing.answer(chunk, Place()) for chunk in chunks] == [NOW + chunk for chunk in chunks]


@given(STREAMS, st.lists(st.integers(0, 1 << 16), max_size=10))
def test_line_framing_puts_one_stamp_before_each_line_however_cut(stream: bytes, places: list[int]) -> None:
    framing, place = LineFraming(stamp()), Place()
    answered = b"".join(framing.answer(chunk, place) for chunk in cut(stream, places))
    assert answered == answers_to([stream], "line")
    assert answered.replace(NOW, b"") == stream
    assert answered.count(NOW) == stream.count(b"\n") + (stream[-1:] not in (b"", b"\n"))


def test_connections_do_not_share_the_place_in_a_line() -> None:
    framing = LineFraming(stamp())
    one, other = Place(), Place()
    assert framing.answer(b"a", one) == NOW + b"a"
    assert framing.answer(b"b", other) == NOW + b"b"
    assert framing.answer(b"a\n", one) == b"a\n"


@pytest.mark.parametrize("time_format", ["%H", "ctime", "iso8601", "%A %B" * 12])
def test_what_one_chunk_grows_to_in_line_framing_is_bounded(time_format: str) -> None:
    framing = LineFraming(Stamp(time_format))
    size = framing.read_size
    assert 0 < size <= 16384
    assert size + len(framing.answer(b"\n" * size, Place())) <= 512 * 1024


def test_chunks_are_as_large_as_twisted_reads_them() -> None:
    assert ChunkFraming.read_size == FileDescriptor.bufferSize


def test_names() -> None:
    assert {"chunk": ChunkFraming, "line": LineFraming} == FRAMINGS
