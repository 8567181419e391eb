"""The stream of answers, however it is cut and whatever is in it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsserv.ping.answers import LARGEST, SMALLEST, Answer, Answers, Probes

STAMP = b"[Mon Nov 23 08:22:38 2026] "
LATER = b"[Mon Nov 23 08:22:39 2026] "
PROBES = Probes(64)
ONE, TWO, THREE = (PROBES.line(number) for number in (1, 2, 3))


def read(stream: bytes, *, cut: int = 1 << 20) -> list[Answer]:
    """Return the answers of a stream that arrives in pieces of ``cut`` bytes."""
    answers = Answers(PROBES)
    return [answer for at in range(0, len(stream), cut) for answer in answers.feed(stream[at : at + cut])]


def what(answers: list[Answer]) -> list[tuple[int | None, bool]]:
    """Return of each answer which it is, and whether it is intact."""
    return [(answer.number, answer.intact) for answer in answers]


@pytest.mark.parametrize("size", [SMALLEST, 33, 64, 100, 1000, LARGEST])
@pytest.mark.parametrize("number", [1, 9, 10**9])
def test_a_probe_is_one_line_of_its_size_without_brackets(size: int, number: int) -> None:
    line = Probes(size).line(number)
    assert len(line) == size
    assert line.index(b"\n") == size - 1
    assert not {*b"[]"} & {*line}


def test_no_two_probes_are_alike() -> None:
    assert len({Probes(64).line(number) for number in range(100) for _ in range(10)}) == 1000


@given(st.integers(1, 200))
def test_framings_give_the_same_answers_however_the_stream_is_cut(cut: int) -> None:
    for stream in (STAMP + ONE + LATER + TWO + LATER + THREE, STAMP + ONE + LATER + TWO + THREE):
        answers = read(stream, cut=cut)
        assert what(answers) == [(1, True), (2, True), (3, True)]
        assert [answer.stamp for answer in answers] == [STAMP, LATER, LATER]
        assert b"".join(answer.line for answer in answers) == stream


def test_answers_that_share_a_chunk_are_told_apart() -> None:
    assert [answer.stamps for answer in read(STAMP + ONE + TWO + LATER + THREE)] == [1, 0, 1]


@given(st.sets(st.integers(1, len(ONE) - 1)))
def test_an_answer_in_many_chunks_is_one_answer(cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), len(ONE)]
    chunks = [STAMP + ONE[begin:end] for begin, end in pairwise(edges)]
    [one, two] = read(b"".join(chunks) + LATER + TWO)
    assert (one.number, one.intact, one.stamps) == (1, True, len(chunks))
    assert (two.number, two.intact, two.stamps) == (2, True, 1)


def test_an_answer_in_many_chunks_has_the_stamp_of_the_last() -> None:
    [answer] = read(STAMP + ONE[:20] + LATER + ONE[20:])
    assert answer.stamp == LATER


@given(st.integers(0, len(STAMP + TWO) - 1), st.integers(1, 255), st.integers(1, 200))
def test_one_altered_byte_is_never_taken_for_an_answer_and_derails_nothing(
    at: int, flip: int, cut: int
) -> None:
    altered = bytearray(STAMP + TWO)
    altered[at] ^= flip
    answers = read(STAMP + ONE + bytes(altered) + STAMP + THREE, cut=cut)
    right = [answer.number for answer in answers if answer.intact]
    if len(STAMP) > at >= 1 and 2 in right:
        assert right == [1, 2, 3]  # another time, in a stamp that still looks like one
    else:
        assert right == [1, 3]
        assert len(answers) in (3, 4)
    assert {answer.number for answer in answers} <= {1, 2, 3, None}


@given(st.binary(max_size=400), st.integers(1, 200))
def test_whatever_comes_between_lines_the_next_answer_is_found(noise: bytes, cut: int) -> None:
    answers = read(STAMP + ONE + noise + b"\n" + STAMP + TWO, cut=cut)
    assert what(answers)[0] == (1, True)
    assert what(answers)[-1] == (2, True)
    assert not any(answer.intact for answer in answers[1:-1])


@given(st.integers(0, len(ONE) - 2), st.integers(1, len(ONE) - 1))
def test_lost_bytes_are_an_altered_answer(begin: int, count: int) -> None:
    left = ONE[:begin] + ONE[min(begin + count, len(ONE) - 1) :]
    answers = what(read(STAMP + left + STAMP + TWO))
    assert answers in ([(1, False), (2, True)], [(None, False), (2, True)])


def test_the_number_of_an_altered_answer_is_known_if_its_check_is_right() -> None:
    assert what(read(STAMP + ONE[:-2] + b"?\n")) == [(1, False)]
    assert what(read(STAMP + ONE.replace(b"-1-", b"-2-"))) == [(None, False)]
    assert what(read(STAMP + ONE.replace(b"-1-", b"-01-"))) == [(None, False)]


def test_two_answers_without_a_newline_between_them_are_two() -> None:
    answers = read(STAMP + ONE[:-1] + b"?" + LATER + TWO[:20] + STAMP + TWO[20:] + LATER + THREE)
    assert what(answers) == [(1, False), (2, True), (3, True)]
    assert [answer.stamps for answer in answers] == [1, 2, 1]
    assert [answer.stamp for answer in answers] == [STAMP, STAMP, LATER]


def test_a_stamp_counts_even_if_its_line_cannot_be_read() -> None:
    assert [answer.stamp for answer in read(STAMP + ONE + LATER + b"?\n" + TWO)] == [STAMP, LATER, LATER]


def test_an_answer_of_another_run_is_none() -> None:
    assert what(read(STAMP + Probes(64).line(1))) == [(None, False)]


def test_an_answer_may_have_no_stamp_at_all() -> None:
    assert read(ONE) == [Answer(1, True, None, 0, ONE)]


def test_endless_bytes_take_no_memory_and_what_comes_after_them_is_found() -> None:
    answers = Answers(PROBES)
    found = []
    for _ in range(1000):
        found += answers.feed(b"x" * 65536)
        assert len(answers.begun) < 2000
    assert what(found) == [(None, False)]
    assert what(answers.feed(b"\n" + STAMP + ONE)) == [(1, True)]


def test_the_longest_answer_that_can_be_is_not_too_long() -> None:
    probes = Probes(LARGEST)
    line = probes.line(1)
    stamp = b"[" + b"x" * 253 + b"] "
    chunks = [stamp + line[at : at + 64] for at in range(0, len(line), 64)]
    answers = Answers(probes)
    [answer] = [answer for chunk in chunks for answer in answers.feed(chunk)]
    assert (answer.number, answer.intact, answer.stamps) == (1, True, 1024)
