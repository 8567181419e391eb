"""
tsserv, and beside it a timer that prints how late it fires.

Everything else in the same reactor waits as long.  The time for which the core served other processes is not
counted.  The arguments are those of ``twistd tsserv``.
"""

import os
import random
import sys
import time

from twisted.internet import reactor
from twisted.logger import globalLogBeginner, textFileLogObserver

from tsserv.tap import Options, makeService

# Seconds on average: at a fixed interval, most ticks would fall into the same moment of the reactor's turns.
INTERVAL = 0.01
# Seconds: to wake up takes a little, and that may have been before the timer was due.
NEGLIGIBLE = 0.0005
STATISTICS = os.open("/proc/self/schedstat", os.O_RDONLY)


def waited() -> float:
    """Return for how many seconds the process has been ready to run and not run (Linux: sched-stats)."""
    return int(os.pread(STATISTICS, 100, 0).split()[1]) / 1e9


def schedule(now: float) -> None:
    """Have the next tick at a random time."""
    delay = random.uniform(0, 2 * INTERVAL)
    reactor.callLater(delay, tick, now + delay, waited())


def tick(due: float, waited_before: float) -> None:
    """Print how late it is, in seconds, and the time of the monotonic clock."""
    now = time.monotonic()
    late = now - due
    lost = waited() - waited_before
    if lost > NEGLIGIBLE:
        late = max(0, late - lost)
    print(f"late by {late:.6f} at {now:.6f}", flush=True)
    schedule(now)


globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)], redirectStandardIO=False)
options = Options()
options.parseOptions(["--port=0", "--interface=127.0.0.1", *sys.argv[1:]])
service = makeService(options)
service.privilegedStartService()
service.startService()
reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
schedule(time.monotonic())
reactor.run()
