from listener import Listener, end
from stamp import StampFactory
from twisted.internet.endpoints import serverFromString
from twisted.python import usage


def endpoint(text):
    """Return the description of an endpoint; raise ValueError if it is wrong."""
    try:
        serverFromString(None, text)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{text!r} is no endpoint: {error}") from error
    return text


class Options(usage.Options):
    optParameters = [
        ["listen", "l", "tcp:21567:interface=127.0.0.1", "The endpoint to listen on.", endpoint],
    ]

    def parseOptions(self, options=None):
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            end(error)


def makeService(config, reactor=None):
    if reactor is None:
        from twisted.internet import reactor
    return Listener(serverFromString(reactor, config["listen"]), StampFactory(reactor))
