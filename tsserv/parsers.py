"""Parsers of option values; each raises ``ValueError``, which says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from ipaddress import IPv4Network, IPv6Network, ip_network

from twisted.internet.abstract import isIPAddress, isIPv6Address

#: The largest C int, as ``listen()`` takes it.
INT_MAX = 2**31 - 1

# Seconds: longer than any timeout needs to be, and within what a reactor can wait for.
_YEAR = 31536000

# Seconds: all connections are checked eight times in each timeout.  With this one the checks take 4 % of a
# core while there are no connections; a shorter one would be a load of its own.
_SHORTEST = 0.01


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Return a parser of decimal digits, for a number from ``least`` to ``most``."""

    def parse(text: str) -> int:
        if re.fullmatch("[0-9]{1,10}", text) and least <= int(text) <= most:
            return int(text)
        raise ValueError(f"{text!r} is not a whole number from {least} to {most}")

    return parse


def seconds(text: str) -> float:
    """Parse a time in seconds, with or without decimals: 0, or from a hundredth to a year."""
    if re.fullmatch(r"[0-9]{1,10}(\.[0-9]{1,10})?", text):
        value = float(text)
        if value == 0 or _SHORTEST <= value <= _YEAR:
            return value
    raise ValueError(f"{text!r} is not 0 or a number of seconds from {_SHORTEST} to {_YEAR}")


def one_of(choices: Collection[str]) -> Callable[[str], str]:
    """Return a parser of one of ``choices``."""

    def parse(text: str) -> str:
        if text in choices:
            return text
        raise ValueError(f"{text!r} is not one of {', '.join(choices)}")

    return parse


def ip_address(text: str) -> str:
    """Parse an IPv4 or IPv6 address."""
    if isIPAddress(text) or isIPv6Address(text):
        return text
    raise ValueError(f"{text!r} is not an IPv4 or IPv6 address")


def networks(text: str) -> list[IPv4Network | IPv6Network]:
    """Parse IP networks in CIDR notation (RFC 4632) and IP addresses, separated by commas."""
    return [ip_network(part) for part in text.split(",")]  # its ValueError says which, and what is wrong
