"""The files of TLS: those that cannot be used, and their reload."""

from __future__ import annotations

import datetime
import errno
import os
import re
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from certificates import Files
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tsserv.layers.credentials import Credentials

PAIR = "--certificate and --private-key: cannot use '{certificate}' with '{key}': "


def another_key(files: Files, kind: trustme.KeyType) -> None:
    """Replace the private key by one that is not the certificate's."""
    files.key.write_bytes(trustme.CA(key_type=kind).private_key_pem.bytes())


def encrypt_key(files: Files) -> None:
    """Encrypt the private key."""
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )


def replace_by_fifo(path: Path) -> None:
    """Replace a file by a FIFO that nobody writes to."""
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda files: files.key.unlink(), "--private-key: cannot read '{key}': No such file or directory"),
        (lambda files: replace_by_fifo(files.key), "--private-key: cannot read '{key}': Not a regular file"),
        (
            lambda files: replace_by_fifo(files.certificate),
            "--certificate: cannot read '{certificate}': Not a regular file",
        ),
        (lambda files: replace_by_fifo(files.root), "--client-ca: cannot read '{root}': Not a regular file"),
        (lambda files: another_key(files, trustme.KeyType.ECDSA), PAIR + "they do not match"),
        (
            lambda files: another_key(files, trustme.KeyType.RSA),
            PAIR + "the key is of another kind (RSA, EC, ...) than that of the certificate",
        ),
        (encrypt_key, PAIR + "the key is encrypted, and nobody is there to type its passphrase"),
        (
            lambda files: files.certificate.write_text("junk"),
            PAIR + "they are not a certificate and its key in PEM",
        ),
        (
            lambda files: files.root.write_text("junk"),
            "--client-ca: cannot use '{root}': it holds no certificate in PEM",
        ),
        (
            lambda files: files.root.write_text(files.root.read_text().replace("M", "%")),
            "--client-ca: cannot use '{root}': it is damaged",
        ),
    ],
)
def test_files_that_cannot_be_used_are_one_line(
    break_it: Callable[[Files], object], message: str, files: Files
) -> None:
    break_it(files)
    expected = message.format(certificate=files.certificate, key=files.key, root=files.root)
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        Credentials(str(files.certificate), str(files.key), str(files.root))


@pytest.mark.skipif(
    ssl.create_default_context().security_level < 2, reason="the OpenSSL of this system takes short keys"
)
def test_a_short_key_is_told_as_that(files: Files) -> None:
    key = rsa.generate_private_key(65537, 1024)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "short")])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(1))
    files.certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with pytest.raises(
        ValueError, match="the key is too short for the OpenSSL of this system; RSA takes 2048"
    ):
        Credentials(str(files.certificate), str(files.key))


def unknown_error() -> ssl.SSLError:
    """Return an error of OpenSSL's with a reason that has no plain words here."""
    error = ssl.SSLError(1, "[X509: SOMETHING_NEW] something new")
    error.reason = "SOMETHING_NEW"
    return error


@pytest.mark.parametrize("method", ["load_cert_chain", "load_verify_locations"])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.EIO, os.strerror(errno.EIO)), "Input/output error"),
        (unknown_error(), "SOMETHING_NEW"),
    ],
)
def test_an_error_of_reading_is_one_line_and_a_reload_goes_on(
    method: str,
    error: OSError,
    reason: str,
    files: Files,
    monkeypatch: pytest.MonkeyPatch,
    logged: list[str],
) -> None:
    credentials = Credentials(str(files.certificate), str(files.key), str(files.root))
    before = credentials.context

    def fail(self: ssl.SSLContext, *arguments: object, **keywords: object) -> None:
        raise error

    monkeypatch.setattr(ssl.SSLContext, method, fail)
    credentials.reload()
    assert credentials.context is before
    assert len(logged) == 1
    assert logged[0].startswith("TLS goes on with the old certificate: --")
    assert logged[0].endswith(f": {reason}")


def test_old_versions_and_renegotiation_are_not_offered(files: Files) -> None:
    context = Credentials(str(files.certificate), str(files.key)).context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_a_reload_finds_the_files_from_any_directory(
    files: Files, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    monkeypatch.chdir(files.certificate.parent)
    credentials = Credentials("certificate.pem", "key.pem")
    before = credentials.context
    monkeypatch.chdir("/")
    credentials.reload()
    assert credentials.context is not before
    assert logged == [f"TLS has read its certificate again: {str(files.certificate)!r}"]
