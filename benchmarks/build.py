"""Make what a run needs: the programs in C, and a certificate."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from process import Failed

_HERE = Path(__file__).parent
_LOAD = set(_HERE.glob("load/*.c"))
_PLAIN, _TLS = _HERE / "load" / "plain.c", _HERE / "load" / "tls.c"
_HEADER = "#include <openssl/ssl.h>\n"


def _compile(program: Path, sources: Sequence[Path], *libraries: str) -> Path:
    command: list[str | Path] = ["cc", "-std=c11", "-O2", "-o", program, *sources, *libraries]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"cc cannot compile {sources[0].parent}: {done.stderr.partition(chr(10))[0]}")
    return program


def load_generator(folder: Path) -> Path:
    """
    Compile the load generator.

    :param folder: the directory of the program.
    :raises Failed: if it cannot be compiled.
    """
    if shutil.which("cc") is None:
        raise Failed("there is no cc: install a C compiler (Debian: build-essential)")
    return _compile(folder / "load", sorted(_LOAD - {_TLS}))


def tls_load_generator(folder: Path) -> Path:
    """Compile the load generator that uses TLS; see :func:`load_generator`."""
    return _compile(folder / "load-tls", sorted(_LOAD - {_PLAIN}), "-lssl", "-lcrypto")


def epoll_server(folder: Path) -> Path:
    """Compile the server in C; see :func:`load_generator`."""
    return _compile(folder / "epoll", [_HERE / "servers" / "epoll.c"])


def missing_for_tls() -> str:
    """Return what this machine has to install for TLS, or an empty string."""
    if shutil.which("openssl") is None:
        return "openssl"
    found = subprocess.run(["cc", "-E", "-x", "c", "-"], input=_HEADER, capture_output=True, text=True)
    return "libssl-dev" if found.returncode else ""


def certificate(folder: Path) -> Path:
    """
    Make a certificate for 127.0.0.1, valid for a day, with a key for ECDSA with P-256.

    :return: a PEM file with the certificate and its key.
    :raises Failed: if ``openssl`` cannot make it.
    """
    pem = folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-nodes", "-days", "1", "-subj", "/CN=127.0.0.1", "-keyout", "-"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"openssl cannot make a certificate: {done.stderr.strip().rpartition(chr(10))[2]}")
    pem.write_text(done.stdout)
    return pem
