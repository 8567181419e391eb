"""ClientHellos that no client would send."""

from __future__ import annotations

X25519, X448, P256, P384 = 0x1D, 0x1E, 0x17, 0x18
FFDHE2048, FFDHE8192 = 0x100, 0x104

#: A key share for each group: junk that a server has to take seriously.
SHARES = {
    X25519: b"\x09" + bytes(31),
    P256: bytes.fromhex(
        "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
    ),
    FFDHE2048: (4).to_bytes(256, "big"),
    FFDHE8192: (4).to_bytes(1024, "big"),
    X448: b"\x05" + bytes(55),
}

# TLS 1.3 with AES-GCM, and with elliptic curves in TLS 1.2.
_CIPHERS = b"\x13\x01\x13\x02\xc0\x2f\xc0\x2b"


def extension(kind: int, content: bytes) -> bytes:
    """Return an extension."""
    return kind.to_bytes(2, "big") + _counted(2, content)


def hello(
    groups: list[int] | None = None,
    shares: list[int] | None = None,
    more: bytes = b"",
    *,
    ciphers: bytes = _CIPHERS,
    hello_end: bytes = b"",
) -> bytes:
    """
    Return a ClientHello of TLS 1.3 in one record.

    :param groups: that the client supports; ``None`` leaves the extension out.
    :param shares: the groups of its key shares; ``None`` leaves the extension out.
    :param more: further extensions.
    :param ciphers: that the client supports.
    :param hello_end: what stands after the extensions.
    """
    extensions = extension(13, _counted(2, bytes.fromhex("0804040308070805080604010501060105030603")))
    if groups is not None:
        extensions += extension(10, _counted(2, b"".join(group.to_bytes(2, "big") for group in groups)))
    if shares is not None:
        extensions += extension(43, b"\x02\x03\x04")
        entries = b"".join(extension(group, SHARES[group]) for group in shares)
        extensions += extension(51, _counted(2, entries))
    body = b"\x03\x03" + bytes(32) + b"\x00" + _counted(2, ciphers) + b"\x01\x00"
    body += _counted(2, extensions + more) + hello_end
    return b"\x16\x03\x01" + _counted(2, b"\x01" + _counted(3, body))


def _counted(size: int, content: bytes) -> bytes:
    """Return ``content`` after its length, which takes ``size`` bytes."""
    return len(content).to_bytes(size, "big") + content
