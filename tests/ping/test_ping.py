"""``tsserv-ping`` with the real service, and with one whose clock or path is wrong by a known amount."""

from __future__ import annotations

import ctypes
import re
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping

import pytest
from certificates import Files, tls_port
from pinging import Handler, Ping, serving
from processes import PATIENCE, Twistd, wait_until
from readme import blocks

from tsserv.stamp import Stamp

FORMATS = ["ctime", "iso8601", "unix"]
QUICK = ("--interval", 0.002)


@pytest.mark.parametrize("framing", ["chunk", "line"])
@pytest.mark.parametrize("time_format", [*FORMATS, "%H:%M"])
def test_the_service_answers_in_every_framing_and_format(
    framing: str, time_format: str, serve: Callable[..., Twistd], ping: Ping
) -> None:
    service = serve(f"--framing={framing}", f"--time-format={time_format}")
    done = ping(f"127.0.0.1:{service.port}", "--json", "--count", 5, *QUICK)
    assert (done.status, done.err) == (0, "")
    assert [probe["seq"] for probe in done.probes] == [1, 2, 3, 4, 5]
    summary = done.summary
    assert (summary["sent"], summary["answered"], summary["lost"]) == (5, 5, 0)
    assert summary["remote"] == f"127.0.0.1:{service.port}"
    service.wait_for(r"\.\.\.connected from: 127\.0\.0\.1")
    for probe in done.probes:
        assert probe["outcome"] == "answered"
        # On a busy machine several probes may arrive in one chunk.
        assert probe["stamps"] == 1 or framing == "chunk"
        assert probe["bytes"] == 64 + len(f"[{probe['server_time']}] ") * probe["stamps"]
        assert 0 < probe["rtt_ms"] < PATIENCE * 1000
    if time_format in FORMATS:
        # The clock of the service is the same as ours.
        for said in (*done.probes, summary):
            assert abs(said["offset_ms"]) <= said["uncertainty_ms"]
        resolution = 500 if time_format == "ctime" else 0
        for probe in done.probes:
            assert probe["uncertainty_ms"] == pytest.approx(probe["rtt_ms"] / 2 + resolution, abs=0.0021)
        assert summary["zone"] == ("UTC+00:00" if time_format == "ctime" and time.timezone == 0 else None)
    else:
        assert all(said["offset_ms"] is None for said in (*done.probes, summary))


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
def test_ipv6_and_the_choice_of_a_family(serve: Callable[..., Twistd], ping: Ping) -> None:
    port = serve("--interface=::").port
    for target, options, remote in [
        (f"[::1]:{port}", (), f"[::1]:{port}"),
        (f"[::1]:{port}", ("-6",), f"[::1]:{port}"),
        (f"localhost:{port}", ("-4",), f"127.0.0.1:{port}"),
        (f"127.0.0.1:{port}", (), f"127.0.0.1:{port}"),
    ]:
        done = ping(target, *options, "--json", "--count", 1)
        assert (done.status, done.summary["remote"]) == (0, remote)
    done = ping(f"127.0.0.1:{port}", "-6")
    assert done.status == 3
    assert done.err.startswith(f"tsserv-ping: 127.0.0.1:{port}: cannot find the host '127.0.0.1': ")


@pytest.mark.parametrize("framing", ["chunk", "line"])
def test_the_service_answers_over_tls(
    framing: str, files: Files, serve: Callable[..., Twistd], ping: Ping
) -> None:
    service = serve(f"--framing={framing}", *files.options)
    target = f"127.0.0.1:{tls_port(service)}"
    done = ping(target, "--tls", "--cafile", files.root, "--json", "--count", 5, "--size", 40000, *QUICK)
    assert (done.status, done.err) == (0, "")
    assert done.summary["answered"] == 5
    assert done.summary["tls"]["version"] == "TLSv1.3"
    done = ping(target, "--tls", "--count", 1)
    assert done.status == 3
    assert "its certificate is refused: unable to get local issuer certificate" in done.err


@pytest.mark.parametrize("size", [32, 1000, 65536])
def test_probes_of_every_size_come_back(size: int, serve: Callable[..., Twistd], ping: Ping) -> None:
    done = ping(f"127.0.0.1:{serve().port}", "--json", "--count", 3, "--size", size, *QUICK)
    assert (done.status, done.summary["answered"]) == (0, 3)
    assert all(probe["bytes"] == size + 27 * probe["stamps"] for probe in done.probes)


def test_reconnect_makes_a_connection_for_each_probe(serve: Callable[..., Twistd], ping: Ping) -> None:
    service = serve()
    done = ping(f"127.0.0.1:{service.port}", "--reconnect", "--count", 3, *QUICK)
    assert done.status == 0
    lines = done.out.splitlines()
    assert len([line for line in lines if line.startswith("connected in ")]) == 1
    assert [line.split()[0] for line in lines[1:4]] == ["seq=1", "seq=2", "seq=3"]
    assert len({line.partition(" from=")[2] for line in lines[1:4]}) == 3
    service.wait_for(r"\.\.\.connected from: 127\.0\.0\.1", 3)


def test_a_flood_keeps_every_connection_busy(serve: Callable[..., Twistd], ping: Ping) -> None:
    service = serve("--framing=line")
    options = ("--flood", "--connections", 5, "--duration", 0.3, "--size", 100)
    done = ping(f"127.0.0.1:{service.port}", *options, "--json")
    assert (done.status, done.err, done.probes) == (0, "", [])
    summary = done.summary
    assert summary["sent"] == summary["answered"] > 5
    assert 0.2 < summary["seconds"] <= 0.3
    assert summary["rtt_ms"]["min"] <= summary["rtt_ms"]["median"] <= summary["rtt_ms"]["max"]
    service.wait_for(r"\.\.\.connected from: 127\.0\.0\.1", 5)
    assert " answers a second, " in ping(f"127.0.0.1:{service.port}", *options).out


def shifted(time_format: str, seconds: float) -> Handler:
    """Return a service in chunk framing whose clock is ahead."""
    stamp = Stamp(time_format, utc=True, clock=lambda: time.time() + seconds)

    def handle(client: socket.socket) -> None:
        while data := client.recv(65536):
            client.sendall(stamp() + data)

    return handle


@pytest.mark.parametrize("time_format", FORMATS)
@pytest.mark.parametrize("seconds", [-777.7, -0.001, 0.25, 100.2])
def test_a_clock_that_is_off_is_estimated_within_the_uncertainty(
    time_format: str, seconds: float, ping: Ping
) -> None:
    with serving(shifted(time_format, seconds)) as port:
        done = ping(f"127.0.0.1:{port}", "--json", "--count", 20, *QUICK)
    assert done.status == 0
    for said in (*done.probes, done.summary):
        assert abs(said["offset_ms"] - seconds * 1000) <= said["uncertainty_ms"]


def test_there_and_back_are_told_apart(ping: Ping) -> None:
    ahead, long = 3.7, 0.05
    stamp = Stamp("unix", clock=lambda: time.time() + ahead)

    def stall(client: socket.socket) -> None:
        for number, line in enumerate(client.makefile("rb"), 1):
            time.sleep(long if number == 7 else 0)
            answer = stamp() + line
            time.sleep(long if number == 12 else 0)
            client.sendall(answer)

    with serving(stall) as port:
        done = ping(f"127.0.0.1:{port}", "--json", "--count", 15, "--interval", 0.1)
        text = ping(f"127.0.0.1:{port}", "--count", 15, "--interval", 0.1).out
    for probe in done.probes:
        there = (float(probe["server_time"]) - ahead - probe["sent"]) * 1000
        uncertainty = probe["way_uncertainty_ms"] + 0.002  # both times are of whole microseconds
        assert abs(probe["there_ms"] - there) <= uncertainty
        assert abs(probe["back_ms"] - (probe["rtt_ms"] - there)) <= uncertainty
    assert done.probes[6]["there_ms"] > 45
    assert done.probes[11]["back_ms"] > 45
    for way in ("there_ms", "back_ms"):
        assert done.summary[way]["delayed"] >= 1
        assert done.summary[way]["longest_delay"] > 45
    assert len(re.findall(r"^(?:there|back) mean/max = .* delayed by up to \d+\.", text, re.M)) == 2


def shape(transcript: str) -> list[str]:
    """Return the lines of a run without what differs from run to run."""
    text = re.sub(r"^\^C$|^\$.*\n|^drift .*\n|^kernel.*\n", "", transcript, flags=re.M)
    text = re.sub(r"; .*|(?<= ms): .*|: no difference.*", "", text)
    return re.sub(r"[+-]?\d[\d.:]*", "N", text).splitlines()


@pytest.mark.once
def test_docs_show_how_a_delay_on_one_way_looks(serve: Callable[..., Twistd], ping: Ping) -> None:
    expected = blocks("Each way", "text", document="docs/probe.md")[0]

    def hold(service: socket.socket, probe: bytes) -> bytes:
        time.sleep(0.05)
        return none(service, probe)

    with serving(faulty_path(serve("--time-format=iso8601"), {5: hold})) as port:
        done = ping(f"localhost:{port}", "-4", "--count", 9)
    assert shape(done.out) == shape(expected)
    there = re.search(r"^there .* delayed by up to (\S+)", done.out, re.M)
    assert there is not None
    assert float(there[1]) > 40


@pytest.mark.once
@pytest.mark.parametrize(
    ("heading", "document", "largest_error"),  # a busy machine takes milliseconds to do what is due
    [("The probe", "README.md", 300), ("Stamps of whole seconds", "docs/probe.md", 20)],
)
def test_docs_show_how_precise_stamps_of_whole_seconds_become(
    heading: str, document: str, largest_error: int, serve: Callable[..., Twistd], ping: Ping
) -> None:
    [expected] = blocks(heading, "text", document=document)
    count = re.findall(r"tsserv-ping localhost --count (\d+)$", expected, re.M)[0]
    done = ping(f"localhost:{serve('--utc').port}", "-4", "--count", count)
    assert shape(done.out) == shape(expected)
    found = re.search(r"^offset (\S+) ms \+/- (\S+) ms", done.out, re.M)
    assert found is not None
    offset, uncertainty = float(found[1]), float(found[2])
    assert abs(offset) <= uncertainty < largest_error


def dropped(sock: socket.socket) -> int:
    """Return how many segments the kernel has dropped that were for this socket (Linux: sock_diag(7))."""
    meminfo, drops = 55, 8  # SO_MEMINFO of asm-generic/socket.h, SK_MEMINFO_DROPS of linux/sock_diag.h
    number: int = struct.unpack("9I", sock.getsockopt(socket.SOL_SOCKET, meminfo, 36))[drops]
    return number


@pytest.mark.skipif(sys.platform != "linux", reason="socket filters and TCP_INFO are Linux's")
def test_a_segment_that_is_lost_shows_as_a_retransmit(ping: Ping) -> None:
    stamp = Stamp("unix")
    drop_all = struct.pack("HBBI", 0x06, 0, 0, 0)  # BPF_RET | BPF_K: take 0 bytes of each segment
    code = ctypes.create_string_buffer(drop_all)
    program = struct.pack("HP", 1, ctypes.addressof(code))
    attach, detach = 26, 27  # SO_ATTACH_FILTER and SO_DETACH_FILTER of asm-generic/socket.h

    def lose_the_second(client: socket.socket) -> None:
        client.sendall(stamp() + client.recv(65536))
        client.setsockopt(socket.SOL_SOCKET, attach, program)
        wait_until(lambda: dropped(client) >= 2, "the second probe is sent again")
        client.setsockopt(socket.SOL_SOCKET, detach, 0)
        while data := client.recv(65536):
            client.sendall(stamp() + data)

    with serving(lose_the_second) as port:
        done = ping(f"127.0.0.1:{port}", "--json", "--count", 3, "--interval", 0.1)
        text = ping(f"127.0.0.1:{port}", "--count", 3, "--interval", 0.1).out
    assert done.status == 0
    assert done.summary["retransmits"] >= 1
    assert done.summary["kernel_rtt_ms"] > 0
    assert done.summary["congestion_window"] >= 1
    assert done.probes[0]["retransmits"] == 0
    assert done.probes[1]["retransmits"] >= 1
    assert done.probes[1]["rtt_ms"] > 100
    assert re.search(r"^seq=2 rtt=\d+\.\d{3} ms retransmits=\d ", text, re.M)
    assert re.search(r"^kernel: rtt .* [1-9]\d* retransmits, ", text, re.M)


def test_a_server_in_another_time_zone_is_recognised(ping: Ping) -> None:
    with serving(shifted("ctime", -5 * 3600 + 2.5)) as port:
        done = ping(f"127.0.0.1:{port}", "--count", 1)
        json = ping(f"127.0.0.1:{port}", "--count", 1, "--json").summary
    assert "time zone UTC-05:00 assumed" in done.out
    assert json["zone"] == "UTC-05:00"
    assert abs(json["offset_ms"] - 2500) <= json["uncertainty_ms"]


#: What a faulty path does to the exchange of one probe: takes the way to the service and the probe, and
#: returns what gets to the client.
Fault = Callable[[socket.socket, bytes], bytes]


def line_from(service: socket.socket) -> bytes:
    """Return what comes up to the end of a line."""
    line = b""
    while not line.endswith(b"\n"):
        line += service.recv(65536)
    return line


def none(service: socket.socket, probe: bytes) -> bytes:
    service.sendall(probe)
    return line_from(service)


def drop(service: socket.socket, probe: bytes) -> bytes:
    none(service, probe)
    return b""


def double(service: socket.socket, probe: bytes) -> bytes:
    return none(service, probe) * 2


def alter_padding(service: socket.socket, probe: bytes) -> bytes:
    return none(service, probe)[:-2] + b"?\n"


def alter_token(service: socket.socket, probe: bytes) -> bytes:
    return none(service, probe).replace(probe[:8], b"????????")


def alter_newline(service: socket.socket, probe: bytes) -> bytes:
    return none(service, probe)[:-1] + b"?"


def insert(service: socket.socket, probe: bytes) -> bytes:
    return none(service, probe) + b"[x] what nobody asked for\n"


def split(service: socket.socket, probe: bytes) -> bytes:
    """Let the service see the first half before the second: the stamp in its answer shows that it has."""
    service.sendall(probe[:30])
    begin = b""
    while not begin.endswith(probe[:30]):
        begin += service.recv(65536)
    service.sendall(probe[30:])
    return begin + line_from(service)


def merge() -> tuple[Fault, Fault]:
    """Return faults for two probes in turn, that make them arrive at once."""
    held = []

    def hold(service: socket.socket, probe: bytes) -> bytes:
        held.append(probe)
        return b""

    def release(service: socket.socket, probe: bytes) -> bytes:
        service.sendall(held[0] + probe)
        answers = b""
        while answers.count(b"\n") < 2:
            answers += service.recv(65536)
        return answers

    return hold, release


def delay(seconds: float) -> Fault:
    def slow(service: socket.socket, probe: bytes) -> bytes:
        time.sleep(seconds)
        return none(service, probe)

    return slow


def faulty_path(service: Twistd, faults: Mapping[int, Fault]) -> Handler:
    """Return a proxy that does this to the probes of these numbers, one exchange after the other."""

    def handle(client: socket.socket) -> None:
        with service.connect() as upstream, client.makefile("rb") as probes:
            for number, probe in enumerate(probes, 1):
                answer = faults.get(number, none)(upstream, probe)
                for byte in answer[:2]:  # and cuts every answer, which TCP may do anywhere
                    client.sendall(bytes([byte]))
                client.sendall(answer[2:])

    return handle


@pytest.mark.parametrize("framing", ["chunk", "line"])
def test_what_a_path_does_to_answers_is_told_apart(
    framing: str, serve: Callable[..., Twistd], ping: Ping
) -> None:
    hold, release = merge()
    faults = {
        2: drop,
        4: double,
        5: double,
        7: alter_padding,
        9: alter_newline,
        11: insert,
        12: split,
        14: hold,
        15: release,
        17: drop,
    }
    service = serve(f"--framing={framing}", "--time-format=unix")
    with serving(faulty_path(service, faults)) as port:
        done = ping(f"127.0.0.1:{port}", "--json", "--count", 20, "--timeout", 3, *QUICK)
    assert done.status == 1
    outcomes = {probe["seq"]: probe["outcome"] for probe in done.probes}
    assert outcomes == dict.fromkeys(range(1, 21), "answered") | {
        2: "altered",  # the line that nobody asked for is taken for its answer: TCP keeps the order
        7: "altered",
        9: "altered",
        17: "lost",
    }
    counts = {name: value for name, value in done.summary.items() if isinstance(value, int)}
    for of_the_kernel in ("congestion_window", "retransmits"):  # it may send again early on a busy machine
        counts.pop(of_the_kernel, None)
    chunks = framing == "chunk"
    assert counts == {
        "sent": 20,
        "answered": 16,
        "altered": 3,
        "lost": 1,
        "pending": 0,
        "late": 0,
        "doubled": 2,
        "stray": 0,
        "merged": int(chunks),
        "split": int(chunks),
        "outages": 0,
    }
    if chunks:
        assert {probe["seq"]: probe["stamps"] for probe in done.probes if probe["stamps"] > 1} == {12: 2}
    for probe in done.probes:
        if probe["offset_ms"] is not None:
            assert abs(probe["offset_ms"]) <= probe["uncertainty_ms"]


def test_an_altered_token_costs_one_answer(serve: Callable[..., Twistd], ping: Ping) -> None:
    with serving(faulty_path(serve(), {1: alter_token, 3: alter_token})) as port:
        done = ping(f"127.0.0.1:{port}", "--json", "--count", 5, *QUICK)
    assert [probe["outcome"] for probe in done.probes] == ["altered", "answered"] * 2 + ["answered"]
    assert (done.status, done.summary["altered"], done.summary["stray"]) == (1, 2, 0)


def test_a_slow_path_shows_in_the_times(serve: Callable[..., Twistd], ping: Ping) -> None:
    with serving(faulty_path(serve(), {1: delay(0.08), 2: delay(0.06)})) as port:
        done = ping(f"127.0.0.1:{port}", "--json", "--count", 2, "--interval", 0.1)
    first, second = (probe["rtt_ms"] for probe in done.probes)
    assert first >= 80
    assert second >= 60
    times = done.summary["rtt_ms"]
    assert times["min"] == pytest.approx(min(first, second), abs=0.001)
    assert times["max"] == pytest.approx(max(first, second), abs=0.001)
    assert times["mean"] == pytest.approx((first + second) / 2, abs=0.001)
    assert times["jitter"] == pytest.approx(abs(first - second), abs=0.001)


def test_a_late_answer_is_an_answer_and_late(serve: Callable[..., Twistd], ping: Ping) -> None:
    options = ("--count", 2, "--interval", 1.5, "--timeout", 1)
    with serving(faulty_path(serve(), {1: delay(1.1)})) as port:
        done = ping(f"127.0.0.1:{port}", *options)
    assert done.status == 1
    lines = done.out.splitlines()
    assert lines[1] == "seq=1 no answer after 1 s"
    assert lines[2].startswith("seq=1 rtt=1")
    assert " LATE " in lines[2]
    assert "2 sent, 2 answered, 0 lost (0 %)" in done.out
    assert "\n1 late: answered after the timeout\n" in done.out
