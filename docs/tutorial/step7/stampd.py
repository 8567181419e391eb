from math import isfinite

from listener import Listener, end
from stamp import StampFactory
from twisted.internet.endpoints import serverFromString
from twisted.python import usage

from tsserv.net.reactor import eager


def endpoint(text):
    """Return the description of an endpoint; raise ValueError if it is wrong."""
    try:
        serverFromString(None, text)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{text!r} is no endpoint: {error}") from error
    return text


def seconds(text):
    """Return a time in seconds; raise ValueError if it is wrong."""
    value = float(text)
    if value < 0 or not isfinite(value):
        raise ValueError(f"{text!r} is no time in seconds")
    return value


class Options(usage.Options):
    optParameters = [
        ["listen", "l", "tcp:21567:interface=127.0.0.1", "The endpoint to listen on.", endpoint],
        ["drain-timeout", "d", 30.0, "How long clients may take to finish, in seconds.", seconds],
    ]

    def parseOptions(self, options=None):
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            end(error)


def makeService(config, reactor=None):
    if reactor is None:
        from twisted.internet import reactor

        reactor = eager(reactor)
    factory = StampFactory(reactor)
    return Listener(serverFromString(reactor, config["listen"]), factory, config["drain-timeout"])
