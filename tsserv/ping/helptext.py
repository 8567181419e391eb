"""The texts of --help; docs/tsserv-ping.md has the long form."""

#: What the program does.
DESCRIPTION = """\
Sends probes to a tsserv service, one a second over one TCP connection, and
shows for each answer its round-trip time and the offset of the server's clock
from this machine's; in the end, or when you press Ctrl-C, a summary.
"""

#: Sections at its end.
SECTIONS = {
    "clocks": """\
The offset is positive if the server's clock is ahead. The numbers after "+/-"
are the largest possible errors: for one stamp half of the round-trip time, and
half a second more if it has whole seconds (ctime); for all together, less.
""",
    "thresholds": """\
--warn and --crit may be given again, as NAME=RANGE: rtt (the mean in ms, if
there is no name), loss (in %), offset (in ms), expiry (of the certificate, in
days). Nagios' ranges: "10" alerts below 0 and above 10, "10:" below 10, "~:10"
above 10, "5:10" outside, "@5:10" inside.
""",
    "exit status": """\
0 if every probe was answered in time; 1 if one was not, or twice or with other
bytes, if the connection ended, or at a limit of --warn; 2 at a limit of --crit,
or if the options are wrong; 3 if there was no connection (of several targets:
to none). With --nagios: 2 also if no probe was answered, or if there was no
connection; 3 if the options are wrong.
""",
    "more": """\
man tsserv-ping
""",
}
