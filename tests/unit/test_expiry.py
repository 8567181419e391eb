"""When certificates expire."""

from __future__ import annotations

import ssl
from datetime import datetime, timezone
from pathlib import Path

import pytest
import trustme

from tsserv.layers.expiry import expiry

DATES = [
    datetime(2026, 11, 25, 4, 5, 6),
    datetime(2049, 12, 31, 23, 59, 59),
    datetime(2050, 1, 1),
    datetime(9999, 12, 31),
]


@pytest.mark.parametrize("date", DATES, ids=str)
@pytest.mark.parametrize("kind", list(trustme.KeyType))
def test_it_is_what_the_certificate_says(date: datetime, kind: trustme.KeyType) -> None:
    issued = trustme.CA(key_type=kind).issue_cert(
        "localhost", "x" * 60 + ".test", not_after=date, key_type=kind
    )
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    assert expiry(chain) == date.replace(tzinfo=timezone.utc).timestamp()
    # The key may come first.
    assert expiry(issued.private_key_pem.bytes() + chain) == expiry(chain)


def test_openssl_says_the_same(tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("localhost")
    path = tmp_path / "certificate.pem"
    issued.cert_chain_pems[0].write_to_path(path)
    decoded = ssl._ssl._test_decode_cert(str(path))  # type: ignore[attr-defined]
    assert expiry(path.read_bytes()) == ssl.cert_time_to_seconds(decoded["notAfter"])


@pytest.mark.parametrize("label", ["X509 CERTIFICATE", "TRUSTED CERTIFICATE"])
def test_other_labels_of_openssls(label: str) -> None:
    pem = trustme.CA().issue_cert("localhost", not_after=DATES[0]).cert_chain_pems[0].bytes()
    assert expiry(pem.replace(b"CERTIFICATE", label.encode())) == expiry(pem)


def test_a_date_of_the_last_century() -> None:
    pem = trustme.CA().issue_cert(
        "localhost", not_before=datetime(1970, 1, 1), not_after=datetime(1999, 1, 2)
    )
    assert expiry(pem.cert_chain_pems[0].bytes()) == datetime(1999, 1, 2, tzinfo=timezone.utc).timestamp()
