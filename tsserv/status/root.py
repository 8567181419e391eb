"""
The pages of ``--status``, by their paths.

``/ready`` is 404 from the moment at which the service begins to stop: HAProxy's ``http-check disable-on-404``
then keeps open connections and sends no new ones.  ``/live`` is 200 as long as the reactor turns.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from twisted.application.service import Service
from twisted.web.http import NOT_ALLOWED, NOT_FOUND, NOT_IMPLEMENTED
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from tsserv.status.figures import Figures
from tsserv.status.page import page

_HTML = "text/html; charset=utf-8"
_TEXT = "text/plain; charset=utf-8"


class Root(Resource):
    """
    The root of all pages, which are for GET and HEAD.

    :param service: runs, or stops.
    :param figures: what the pages show.
    """

    def __init__(self, service: Service, figures: Figures) -> None:
        super().__init__()
        self._service = service
        self._figures = figures
        self.putChild(b"", _Page(lambda request: page(figures, bool(service.running)).encode(), _HTML))
        self.putChild(b"ready", _Page(self._ready))
        self.putChild(b"live", _Page(lambda request: b"alive\n"))
        self.putChild(b"metrics", _metrics(figures))

    def getChildWithDefault(self, path: bytes, request: Request) -> IResource:
        """Return the page at ``path``, or one that says what is wrong with the request."""
        if request.method not in (b"GET", b"HEAD"):
            request.setHeader("Allow", "GET, HEAD")
            return _refusal(NOT_ALLOWED, b"Pages are for GET and HEAD.\n")
        if path not in self.children or request.postpath:
            return _refusal(NOT_FOUND, b"There are /, /ready, /live and /metrics.\n")
        found: IResource = self.children[path]
        return found

    def _ready(self, request: Request) -> bytes:
        if self._service.running:
            return b"ready\n"
        request.setResponseCode(NOT_FOUND)
        return b"stopping; open connections: %d\n" % len(self._figures.connections)


class _Page(Resource):
    """A page that ``make`` makes for each request."""

    isLeaf = True

    def __init__(self, make: Callable[[Request], bytes], media_type: str = _TEXT) -> None:
        super().__init__()
        self._make = make
        self._media_type = media_type

    def render(self, request: Request) -> bytes:
        request.setHeader("Content-Type", self._media_type)
        request.setHeader("Cache-Control", "no-store")
        return self._make(request)


def _refusal(code: int, text: bytes) -> _Page:
    """Return a page with a status code of HTTP that says why there is none."""

    def make(request: Request) -> bytes:
        request.setResponseCode(code)
        return text

    return _Page(make)


def _metrics(figures: Figures) -> _Page:
    """Return the metrics, or a page that says what they take."""
    if find_spec("prometheus_client") is None:
        return _refusal(
            NOT_IMPLEMENTED,
            b"Metrics take prometheus_client: pip install prometheus_client, and restart the service.\n",
        )
    from tsserv.status.metrics import Metrics

    metrics = Metrics(figures)

    def make(request: Request) -> bytes:
        text, media_type = metrics.text(request.getHeader("Accept") or "")
        request.setHeader("Content-Type", media_type)
        return text

    return _Page(make)
