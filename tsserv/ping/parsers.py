"""Parsers of option values for argparse; each raises ArgumentTypeError, which says what is wrong."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Callable

from tsserv.ping.address import HostPort


def target(default_port: int) -> Callable[[str], HostPort]:
    """Return a parser of ``HOST``, ``HOST:PORT``, ``[IPV6]:PORT`` or a bare IPv6 address."""

    def parse(text: str) -> HostPort:
        match = re.fullmatch(r"(?:([^:\[\]]+)|\[([^\[\]]+)\])(?::([^:]*))?", text)
        if match:
            port = default_port if match[3] is None else integer(1, 65535)(match[3])
            return HostPort(match[1] or match[2], port)
        if re.fullmatch(r"[^\[\]]*:[^\[\]]*:[^\[\]]*", text):
            return HostPort(text, default_port)
        raise ArgumentTypeError(f"{text!r} is not HOST, HOST:PORT, IPV6 or [IPV6]:PORT")

    return parse


def host_name(text: str) -> str:
    """Parse a host name."""
    try:
        if text.encode("idna"):
            return text
    except UnicodeError:
        pass
    raise ArgumentTypeError(f"{text!r} is not the name of a host")


def integer(least: int, most: int) -> Callable[[str], int]:
    """Return a parser of a whole number from ``least`` to ``most``."""

    def parse(text: str) -> int:
        if re.fullmatch("[0-9]{1,10}", text) and least <= int(text) <= most:
            return int(text)
        raise ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")

    return parse


def number(least: float, most: float) -> Callable[[str], float]:
    """Return a parser of a number from ``least`` to ``most``, with or without decimals."""

    def parse(text: str) -> float:
        if re.fullmatch(r"[0-9]{1,10}(\.[0-9]{1,10})?", text) and least <= float(text) <= most:
            return float(text)
        raise ArgumentTypeError(f"{text!r} is not a number from {least:g} to {most:g}")

    return parse
