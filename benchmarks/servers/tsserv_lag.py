"""
tsserv, and beside it a timer that prints how late it fires.

Everything else in the same reactor waits as long.  The arguments are those of ``twistd tsserv``.
"""

import random
import sys
import time

from twisted.internet import reactor
from twisted.logger import globalLogBeginner, textFileLogObserver

from tsserv.tap import Options, makeService

# Seconds on average: at a fixed interval, most ticks would fall into the same moment of the reactor's turns.
INTERVAL = 0.01


def tick(due: float) -> None:
    """Print how late it is, in seconds, and the time of the monotonic clock."""
    now = time.monotonic()
    print(f"late by {now - due:.6f} at {now:.6f}", flush=True)
    delay = random.uniform(0, 2 * INTERVAL)
    reactor.callLater(delay, tick, now + delay)


globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)], redirectStandardIO=False)
options = Options()
options.parseOptions(["--port=0", "--interface=127.0.0.1", *sys.argv[1:]])
service = makeService(options)
service.privilegedStartService()
service.startService()
reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
reactor.callLater(INTERVAL, tick, time.monotonic() + INTERVAL)
reactor.run()
