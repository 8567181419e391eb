"""When a certificate expires, from its file: the standard library's ``ssl`` does not tell."""

from __future__ import annotations

import base64
import re
from datetime import datetime

# The labels under which OpenSSL takes a certificate (PEM_read_bio_X509_AUX).
_CERTIFICATE = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----([^-]*)")

# Its validity in DER: a sequence of two times, UTCTime or GeneralizedTime (RFC 5280, section 4.1.2.5).
_VALIDITY = re.compile(
    rb"\x30[\x1e\x20\x22](?:\x17\x0d\d{12}Z|\x18\x0f\d{14}Z)(?:\x17\x0d(\d{12})|\x18\x0f(\d{14}))Z"
)


def expiry(pem: bytes) -> float:
    """
    Return when the first certificate in ``pem`` expires, in seconds since 1970.

    :param pem: what OpenSSL has taken as a certificate chain: nothing is checked again.
    """
    certificate = _CERTIFICATE.search(pem)
    assert certificate
    validity = _VALIDITY.search(base64.b64decode(certificate[1]))
    assert validity
    short, text = (time and time.decode() for time in validity.groups())
    if short:
        text = ("20" if short < "50" else "19") + short
    return datetime.strptime(f"{text}+0000", "%Y%m%d%H%M%S%z").timestamp()
