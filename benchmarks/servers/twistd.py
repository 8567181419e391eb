"""
twistd without pyOpenSSL.

Twisted imports pyOpenSSL if it is installed, and starts more slowly.  The benchmarks install
it for one server.
"""

# mypy: ignore-errors
# ruff: noqa: E402

import sys

sys.modules["OpenSSL"] = None  # so that an import raises ImportError

from twisted.scripts.twistd import run

run()
