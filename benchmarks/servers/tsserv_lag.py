"""
tsserv, and beside it a timer that tells how late it is: whatever else the reactor does is so late too.

Arguments are those of ``twistd tsserv``.
"""

import sys

from twisted.internet import reactor
from twisted.logger import globalLogBeginner, textFileLogObserver

from tsserv.tap import Options, makeService

INTERVAL = 0.01  # seconds


def tick(due: float) -> None:
    """Tell how late it is, and come again."""
    now = reactor.seconds()
    print(f"late by {now - due:.6f}", flush=True)
    reactor.callLater(INTERVAL, tick, now + INTERVAL)


globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)], redirectStandardIO=False)
options = Options()
options.parseOptions(["--port=0", "--interface=127.0.0.1", *sys.argv[1:]])
service = makeService(options)
service.privilegedStartService()
service.startService()
reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
reactor.callLater(INTERVAL, tick, reactor.seconds() + INTERVAL)
reactor.run()
