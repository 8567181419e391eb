"""The service that a command line describes; ``twistd`` comes in here."""

from __future__ import annotations

from twisted.application.service import MultiService, Service
from twisted.internet.protocol import Factory

from tsserv.connections.accesslog import LOGGED_ENDS, AccessLog
from tsserv.connections.admission import Admission
from tsserv.connections.registry import Connections
from tsserv.framing import FRAMINGS
from tsserv.layers.credentials import Credentials
from tsserv.layers.proxy import ProxyFactory
from tsserv.layers.tls import TLSFactory
from tsserv.net.listeners import EndpointListener, Listener
from tsserv.net.reactor import eager
from tsserv.ops.logfile import FORMATS, LogFile
from tsserv.ops.signals import Signals
from tsserv.ops.systemd import Notifier
from tsserv.options import Options
from tsserv.protocol import TimestampFactory

__all__ = ["Options", "makeService"]  # what twistd asks for


def makeService(config: Options) -> MultiService:
    """Return the service that ``config`` describes, on the reactor that is installed."""
    from twisted.internet import reactor

    log = AccessLog(reactor, *LOGGED_ENDS[config["log-connections"]])
    admission = Admission(reactor, config["max-connections"], config["max-connections-per-host"])
    connections = Connections(
        reactor,
        admission,
        log,
        idle_timeout=config["idle-timeout"],
        stall_timeout=config["stall-timeout"],
        drain_timeout=config["drain-timeout"],
    )
    factory = TimestampFactory(FRAMINGS[config["framing"]](config["stamp"]), connections, log)
    listening = reactor if config["no-eager"] else eager(reactor, reuse_port=config["reuse-port"])
    backlog = config["backlog"]
    listeners: list[Service] = []
    if config["port"] is not None:
        interface = config["interface"] or "0.0.0.0"
        listeners.append(
            Listener(config["port"], factory, interface=interface, backlog=backlog, reactor=listening)
        )
    credentials: Credentials | None = config["credentials"]
    for proxy, tls, endpoint in config["listen"]:
        outer: Factory = factory
        if tls and credentials is not None:
            outer = TLSFactory(factory, credentials, connections, reactor)
        if proxy:
            outer = ProxyFactory(outer, config["proxy-trust"], connections, reactor)
        listeners.append(EndpointListener(endpoint, outer, backlog=backlog, reactor=listening))
    service = (
        MultiService()
        if config["logfile"] is None
        else LogFile(config["logfile"], FORMATS[config["log-format"]])
    )
    notifier = Notifier(reactor, lambda: connections.count)
    steps = [part.renew for part in (service, credentials) if isinstance(part, (LogFile, Credentials))]
    signals = Signals(reactor, reload=lambda: notifier.reload(*steps), hurry=connections.abort)
    # They are stopped in the opposite order: nobody comes any more when the connections drain.
    for part in (connections, signals, *listeners, notifier):
        part.setServiceParent(service)
    return service
