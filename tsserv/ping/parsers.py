"""Parsers of option values for argparse; each raises ArgumentTypeError, which says what is wrong."""

from __future__ import annotations

import ipaddress
import re
import socket
from argparse import ArgumentTypeError
from collections.abc import Callable

from tsserv.ping.address import HostPort


def listener(text: str) -> HostPort:
    """Parse ``[ADDRESS:]PORT`` of a socket that listens; without an address, of IPv4's loopback."""
    match = re.fullmatch(r"(?:([^:\[\]]+):|\[([^\[\]]+)\]:)?([0-9]{1,5})", text)
    if match and int(match[3]) <= 65535:
        return HostPort(match[1] or match[2] or "127.0.0.1", int(match[3]))
    raise ArgumentTypeError(f"{text!r} is not PORT, ADDRESS:PORT or [IPV6]:PORT")


def host_name(text: str) -> str:
    """Parse a host name."""
    try:
        if text.encode("idna"):
            return text
    except UnicodeError:
        pass
    raise ArgumentTypeError(f"{text!r} is not the name of a host")


def ip_address(text: str) -> str:
    """Parse an IP address; an IPv6 address may have a zone (RFC 4007, section 11)."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not an IP address") from None


def interface(text: str) -> str:
    """Parse the name of a network interface."""
    if not hasattr(socket, "SO_BINDTODEVICE"):
        raise ArgumentTypeError("this system has no way to choose the interface")
    try:
        socket.if_nametoindex(text)
    except (OSError, ValueError):  # ValueError: it has a null character
        raise ArgumentTypeError(f"{text!r} is no network interface of this machine") from None
    return text


def tos(text: str) -> int:
    """Parse a type of service: a decimal or hexadecimal byte."""
    if re.fullmatch("[0-9]{1,3}|0[xX][0-9a-fA-F]{1,2}", text):
        value = int(text, 16 if text[1:2] in ("x", "X") else 10)
        if value <= 0xFF and not value & 0b11:  # RFC 3168, section 5: the lower two bits are TCP's own
            return value
    raise ArgumentTypeError(f"{text!r} is not a multiple of 4 from 0 to 252, or from 0x00 to 0xfc")


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
        raise ArgumentTypeError(f"{text!r} is not a number from {least:.10g} to {most:.10g}")

    return parse
