"""
The tree of services that a command line describes; ``twistd`` calls this module.

The services start in this order, and stop in the opposite order, each when the one before has stopped:

1. the log file, so that it has everything that follows;
2. the figures and the listener of ``--status``, which answers as long as there is anything to say;
3. the connections, which have stopped when the last one has ended;
4. the watch over them, so that stalled ones end while the service stops;
5. the drain, which ends them;
6. the signals, taken before the first client can connect;
7. the listeners, which have stopped when every client that the system has connected is served;
8. the delay, in which clients can still connect;
9. the notifier, which reports that the service is ready when all else has started.
"""

from __future__ import annotations

import gc
from signal import SIGTERM
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger, globalLogPublisher

from tsserv.connections.accesslog import LOGGED_ENDS, AccessLog, Log, publish
from tsserv.connections.address import ClientFactory
from tsserv.connections.drain import Delay, Drain
from tsserv.connections.registry import Connections
from tsserv.connections.watch import Watch
from tsserv.framing import FRAMINGS
from tsserv.net.clock import measure_with_monotonic_clock
from tsserv.net.listeners import EndpointListener, Listener
from tsserv.net.reactor import PlainReactor, eager
from tsserv.ops.logfile import FORMATS, LogFile
from tsserv.ops.signals import Signals
from tsserv.ops.stdio import unblock_stdout
from tsserv.ops.systemd import Notifier
from tsserv.options import Options
from tsserv.protocol import TimestampFactory

__all__ = ["Options", "makeService"]  # what twistd asks for

_log = Logger("tsserv")


def makeService(config: Options, reactor: Any = None) -> MultiService:  # noqa: ANN401 (any reactor)
    """
    Return the service that ``config`` describes.

    :param reactor: serves; the one that is installed if it is ``None``.
    """
    if reactor is None:
        from twisted.internet import reactor
    measure_with_monotonic_clock(reactor)
    # What the start has made stays: a full garbage collection passes it over, and with 18,000 connections
    # takes 21 ms instead of 40.
    reactor.callWhenRunning(gc.freeze)
    log_file = (
        LogFile(config["open-logfile"], FORMATS[config["log-format"]], reactor) if config["logfile"] else None
    )
    log = _access_log(config, reactor, log_file)
    connections = Connections(
        reactor, log, most=config["max-connections"], most_per_host=config["max-connections-per-host"]
    )
    watch = Watch(
        reactor, connections, idle_timeout=config["idle-timeout"], stall_timeout=config["stall-timeout"]
    )
    drain = Drain(reactor, connections, config["drain-timeout"])
    credentials = config["credentials"]
    delay = Delay(reactor, config["drain-delay"], lambda: signals.stopped_by == SIGTERM)
    notifier = Notifier(reactor, connections.__len__, delayed=lambda: delay.waiting)
    steps = [part.reload for part in (log_file, credentials) if part is not None]
    signals = Signals(
        reactor,
        reload=lambda: notifier.reload(*steps),
        hurry=lambda: delay.end() if delay.waiting else connections.abort(),
    )
    service = _InOrder()
    listeners = _listeners(config, reactor, connections)
    figures = status = None
    if config["status"] is not None:  # or else what this takes is not even imported
        from tsserv.status.figures import Figures
        from tsserv.status.root import Root
        from tsserv.status.site import StatusListener

        figures = Figures(reactor, connections, credentials, listeners, log_file)
        status = StatusListener(config["status"], Root(service, figures), reactor)
    for part in (log_file, figures, status, connections, watch, drain, signals, listeners, delay, notifier):
        if part is not None:
            part.setServiceParent(service)
    return service


def _access_log(config: Options, reactor: Any, log_file: LogFile | None) -> AccessLog:  # noqa: ANN401
    """Return the log of connections; it writes many lines at once where it can, or else logs events."""
    twistd = config.parent  # it begins to log after this
    write_to_stdout = None if twistd is None else unblock_stdout(reactor, twistd)
    if write_to_stdout is None:
        logs: list[Log] = [publish]
    else:
        logs = [write_to_stdout] if log_file is None else [write_to_stdout, log_file.write]
    log = AccessLog(reactor, LOGGED_ENDS[config["log-connections"]], logs)
    if twistd is not None:
        globalLogPublisher.addObserver(log)  # before twistd's own observer
    return log


def _listeners(config: Options, reactor: Any, connections: Connections) -> MultiService:  # noqa: ANN401
    """Return all listeners as one service; each puts the layers it is asked for below the protocol."""
    factory = TimestampFactory(FRAMINGS[config["framing"]](config["stamp"]), connections)
    listening: Any = PlainReactor(reactor)
    if not config["no-eager"]:
        failed = connections.repeated(
            "cannot accept connections, and keeps trying: {error}",
            "attempts to accept a connection that failed: {count}",
            "not accepted",
        )
        listening = eager(
            reactor,
            reuse_port=config["reuse-port"],
            accept_failed=lambda error: failed.add(error=error.strerror),
        )
    common = {
        "backlog": config["backlog"],
        "socket_buffer": config["socket-buffer"],
        "reactor": listening,
    }
    listeners = MultiService()
    if config["port"] is not None:
        interface = config["interface"] or "0.0.0.0"
        Listener(config["port"], factory, interface=interface, **common).setServiceParent(listeners)
    for place in config["listen"]:
        outer: ClientFactory = factory
        if place.tls:
            from tsserv.layers.tls import TLSFactory

            outer = TLSFactory(factory, config["credentials"], connections, reactor)
        if place.proxy:
            from tsserv.layers.proxy import ProxyFactory

            outer = ProxyFactory(outer, config["proxy-trust"], connections, reactor)
        EndpointListener(place.endpoint, outer, **common).setServiceParent(listeners)
    return listeners


class _InOrder(MultiService):
    """Stops its children in the opposite order of their start, each when the one before has stopped."""

    def stopService(self) -> Deferred[None]:
        """
        Stop.

        :return: fires when all children have stopped.
        """
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for service in reversed(self.services):
            try:
                await maybeDeferred(service.stopService)
            except Exception:  # must not keep the others from stopping
                _log.failure("Cannot stop {service}", service=service)
