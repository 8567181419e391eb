"""
Which key exchanges a TLS client asks for, from bytes alone.

OpenSSL 3 offers the finite-field groups of RFC 7919, and Python before 3.15 cannot turn them off.  The
largest costs the server a tenth of a second of CPU, and the client nothing.  A connection that would use one
is refused before OpenSSL sees it.
"""

from __future__ import annotations

import struct

# RFC 8446, sections 5.1, 4, 4.2 and 4.2.7.
_HANDSHAKE_RECORD = 22
_CLIENT_HELLO = 1
_SUPPORTED_GROUPS, _KEY_SHARE = 10, 51
_SECP256R1 = 0x17

# The longest ClientHello that is accepted, in bytes; a browser's has about 2,000.
_LONGEST = 16 * 1024


class RefusedHello(Exception):
    """A connection begins without a ClientHello, or with one that is refused; says which."""

    def __init__(self, reason: str = "it does not begin with a valid ClientHello") -> None:
        super().__init__(reason)


class ClientHello:
    """Collects the first message of a connection, which may come in any pieces."""

    def __init__(self) -> None:
        #: All that has been received.
        self.received = bytearray()
        self._next_record = 0
        self._message = bytearray()

    def feed(self, data: bytes) -> bool:
        """
        Add what has been received next; return whether the message is complete.

        :raises RefusedHello: if it must not reach OpenSSL.
        """
        self.received += data
        while self._add_record():
            if self._message[:1] not in (b"", bytes([_CLIENT_HELLO])):
                raise RefusedHello
            end = 4 + int.from_bytes(self._message[1:4], "big")
            if 4 <= len(self._message) >= end:
                _check(bytes(self._message[4:end]))
                return True
        if len(self.received) > _LONGEST:
            raise RefusedHello("its ClientHello is too long")
        return False

    def _add_record(self) -> bool:
        """Add the next record to the message if it is complete; return whether it is."""
        start = self._next_record + 5
        end = start + int.from_bytes(self.received[start - 2 : start], "big")
        if self.received[self._next_record : self._next_record + 1] not in (b"", bytes([_HANDSHAKE_RECORD])):
            raise RefusedHello
        if not start <= len(self.received) >= end:
            return False
        self._message += self.received[start:end]
        self._next_record = end
        return True


def _check(hello: bytes) -> None:
    """
    Refuse a ClientHello for which OpenSSL would choose a finite-field group.

    It takes the first key share whose group it supports; if there is none, the first group in its own order,
    which has secp256r1 before the finite-field groups.
    """
    extensions = _extensions(hello)
    groups = _groups(extensions.get(_SUPPORTED_GROUPS, _NOTHING))
    shares = _shared_groups(extensions.get(_KEY_SHARE, _NOTHING))
    if any(map(_is_finite_field, shares)) or (
        any(map(_is_finite_field, groups)) and _SECP256R1 not in groups
    ):
        raise RefusedHello("it asks for a key exchange in a finite field, which costs too much")


def _is_finite_field(group: int) -> bool:
    return group >> 8 == 1  # RFC 7919, section 2


def _extensions(hello: bytes) -> dict[int, bytes]:
    """Return the contents of the extensions by their types."""
    rest = hello[34:]  # after a version and a random value
    for size in (1, 2, 1):  # the session, the ciphers, the compressions
        _, rest = _split(rest, size)
    block, rest = _split(rest, 2) if rest else (rest, rest)
    entries = _entries(block)
    extensions = dict(entries)
    if rest or len(extensions) != len(entries):
        raise RefusedHello
    return extensions


# An extension with an empty list, for one that is not there.
_NOTHING = bytes(2)

# Of an entry in a list of extensions or of key shares: a type or group, and the length of what follows.
_HEADER = struct.Struct("!HH")


def _entries(block: bytes) -> list[tuple[int, bytes]]:
    """Return what is in a list of extensions or of key shares: the types or groups, and the contents."""
    entries = []
    place = 0
    while len(block) - place >= _HEADER.size:
        kind, length = _HEADER.unpack_from(block, place)
        place += _HEADER.size + length
        entries.append((kind, block[place - length : place]))
    if place != len(block):
        raise RefusedHello
    return entries


def _groups(extension: bytes) -> tuple[int, ...]:
    """Return the groups that a client supports."""
    content, rest = _split(extension, 2)
    if rest or len(content) % 2:
        raise RefusedHello
    return struct.unpack(f"!{len(content) // 2}H", content)


def _shared_groups(extension: bytes) -> list[int]:
    """Return the groups for which there is a key share."""
    shares, rest = _split(extension, 2)
    if rest:
        raise RefusedHello
    return [group for group, _ in _entries(shares)]


def _split(data: bytes, size: int) -> tuple[bytes, bytes]:
    """Return what stands after its length, which takes ``size`` bytes, and what follows it."""
    end = size + int.from_bytes(data[:size], "big")
    if not size <= len(data) >= end:
        raise RefusedHello
    return data[size:end], data[end:]
