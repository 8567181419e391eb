"""Parsers of option values; each raises a usage error that names the option and says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from ipaddress import IPv4Network, IPv6Network, ip_network

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.python.usage import UsageError

#: The most that a C int holds, as ``listen()`` takes.
INT_MAX = 2**31 - 1

# Seconds: longer than any timeout needs to be, and within what a reactor can wait for.
_YEAR = 31536000


def whole_number(option: str, least: int, most: int) -> Callable[[str], int]:
    """Return a parser of decimal digits, for a number from ``least`` to ``most``."""

    def parse(text: str) -> int:
        if re.fullmatch("[0-9]{1,10}", text) and least <= int(text) <= most:
            return int(text)
        raise UsageError(f"--{option}: {text!r} is not a whole number from {least} to {most}")

    return parse


def seconds(option: str) -> Callable[[str], float]:
    """Return a parser of a time in seconds, with or without decimals, from 0 to a year."""

    def parse(text: str) -> float:
        if re.fullmatch(r"[0-9]{1,10}(\.[0-9]{1,10})?", text) and float(text) <= _YEAR:
            return float(text)
        raise UsageError(f"--{option}: {text!r} is not a number of seconds from 0 to {_YEAR}")

    return parse


def one_of(option: str, choices: Collection[str]) -> Callable[[str], str]:
    """Return a parser of one of ``choices``."""

    def parse(text: str) -> str:
        if text in choices:
            return text
        raise UsageError(f"--{option}: {text!r} is not one of {', '.join(choices)}")

    return parse


def ip_address(option: str) -> Callable[[str], str]:
    """Return a parser of an IPv4 or IPv6 address."""

    def parse(text: str) -> str:
        if isIPAddress(text) or isIPv6Address(text):
            return text
        raise UsageError(f"--{option}: {text!r} is not an IPv4 or IPv6 address")

    return parse


def networks(option: str) -> Callable[[str], list[IPv4Network | IPv6Network]]:
    """Return a parser of IP networks in CIDR notation (RFC 4632), and addresses, with commas between them."""

    def parse(text: str) -> list[IPv4Network | IPv6Network]:
        try:
            return [ip_network(part) for part in text.split(",")]
        except ValueError as error:  # says which, and what is wrong
            raise UsageError(f"--{option}: {error}") from error

    return parse
