"""Makes ``tsserv`` a command of ``twistd``, every run of which imports this: so the service is only named."""

from twisted.application.service import ServiceMaker

tsserv = ServiceMaker(
    "tsserv", "tsserv.tap", "A timestamp service: what you send comes back with the time.", "tsserv"
)
