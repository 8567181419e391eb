"""The command ``tsserv``, which is ``twistd -n --pidfile= tsserv``; ``python -m tsserv`` is the same."""

from __future__ import annotations

import sys

from twisted.scripts.twistd import run


def main() -> None:
    """Run the service in the foreground, without a pid file, with the options of the command line."""
    sys.argv[1:1] = ["-n", "--pidfile=", "tsserv"]
    run()


if __name__ == "__main__":
    main()
