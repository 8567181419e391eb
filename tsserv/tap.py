"""
The tree of services that a command line describes; ``twistd`` calls this module.

The services start in this order, and stop in the opposite order, each when the one before has stopped:

1. the log file, so that it has everything that follows;
2. the connections, which have stopped when the last one has ended;
3. the watch over them, so that stalled ones end while the service stops;
4. the drain, which ends them;
5. the signals, taken before the first client can connect;
6. the listeners, which have stopped when every client that the system has connected is served;
7. the notifier, which reports that the service is ready when all else has started.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from tsserv.connections.accesslog import LOGGED_ENDS, AccessLog
from tsserv.connections.address import ClientFactory
from tsserv.connections.drain import Drain
from tsserv.connections.registry import Connections
from tsserv.connections.watch import Watch
from tsserv.framing import FRAMINGS
from tsserv.layers.credentials import Credentials
from tsserv.layers.proxy import ProxyFactory
from tsserv.layers.tls import TLSFactory
from tsserv.net.clock import measure_with_monotonic_clock
from tsserv.net.listeners import EndpointListener, Listener
from tsserv.net.reactor import eager
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
    log = AccessLog(reactor, *LOGGED_ENDS[config["log-connections"]])
    connections = Connections(
        reactor, log, most=config["max-connections"], most_per_host=config["max-connections-per-host"]
    )
    watch = Watch(
        reactor, connections, idle_timeout=config["idle-timeout"], stall_timeout=config["stall-timeout"]
    )
    drain = Drain(reactor, connections, config["drain-timeout"])
    if config.parent is not None:  # under twistd, which is about to log
        unblock_stdout(reactor)
    log_file = (
        LogFile(config["open-logfile"], FORMATS[config["log-format"]], reactor) if config["logfile"] else None
    )
    credentials: Credentials | None = config["credentials"]
    notifier = Notifier(reactor, connections.__len__)
    steps = [part.reload for part in (log_file, credentials) if part is not None]
    signals = Signals(reactor, reload=lambda: notifier.reload(*steps), hurry=connections.abort)
    service = _InOrder()
    for part in (
        log_file,
        connections,
        watch,
        drain,
        signals,
        _listeners(config, reactor, connections),
        notifier,
    ):
        if part is not None:
            part.setServiceParent(service)
    return service


def _listeners(config: Options, reactor: Any, connections: Connections) -> MultiService:  # noqa: ANN401
    """Return all listeners as one service; each puts the layers it is asked for below the protocol."""
    factory = TimestampFactory(FRAMINGS[config["framing"]](config["stamp"]), connections)
    listening = reactor
    if not config["no-eager"]:
        failed = connections.repeated(
            "cannot accept connections, and keeps trying: {error}",
            "attempts to accept a connection that failed: {count}",
        )
        listening = eager(
            reactor,
            reuse_port=config["reuse-port"],
            accept_failed=lambda error: failed.add(error=error.strerror),
        )
    backlog = config["backlog"]
    listeners = MultiService()
    if config["port"] is not None:
        interface = config["interface"] or "0.0.0.0"
        Listener(
            config["port"], factory, interface=interface, backlog=backlog, reactor=listening
        ).setServiceParent(listeners)
    for place in config["listen"]:
        outer: ClientFactory = factory
        if place.tls:
            outer = TLSFactory(factory, config["credentials"], connections, reactor)
        if place.proxy:
            outer = ProxyFactory(outer, config["proxy-trust"], connections, reactor)
        EndpointListener(place.endpoint, outer, backlog=backlog, reactor=listening).setServiceParent(
            listeners
        )
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
