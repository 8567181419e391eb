"""The table of all outputs."""

from __future__ import annotations

from tsserv.ping.outputs.base import Output
from tsserv.ping.outputs.exporter import Exporter
from tsserv.ping.outputs.nagios import Nagios
from tsserv.ping.outputs.plot import Plot
from tsserv.ping.outputs.records import Csv, Json
from tsserv.ping.outputs.text import Text

#: Every output.  To add one, write its module and add its class here: the command line, the manual page and
#: the shell completions follow.
OUTPUTS: tuple[type[Output], ...] = (Text, Json, Nagios, Exporter, Csv, Plot)
