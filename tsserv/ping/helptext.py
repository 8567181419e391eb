"""The texts of --help and the manual page."""

#: What the program does.
DESCRIPTION = """\
Sends probes to a tsserv service, one a second over one TCP connection, and
shows for each answer its round-trip time and the offset of the server's clock
from this machine's. It ends with a summary, after --count probes or when you
press Ctrl-C.
"""

#: Sections of the manual page, which --help shows at its end.
SECTIONS = {
    "clocks": """\
A round-trip time is measured with CLOCK_MONOTONIC of this machine, from before
the probe is given to the system to after the last byte of its answer is read.
The offset compares stamps with CLOCK_REALTIME of this machine; it is positive
if the server's clock is ahead. A stamp alone gives it to +/- half of the round-
trip time. All stamps together give it more precisely, if the rates of the
clocks differ by at most 500 ppm and vary by at most 15 ppm. The formats ctime,
iso8601 and unix are recognised; other stamps are only shown.

A stamp of whole seconds (ctime) leaves half a second more open. With such
stamps probes are sent up to half a second early or late, to arrive when the
second changes: each then halves what is open.

From the offset and a fine stamp follows how long the probe took there, and the
answer back, with the same uncertainty. A constant difference between the ways
cannot be seen: they count as equal when nothing delays them. A delay is what is
longer than the shortest time beyond doubt. The numbers after "+/-" are the
largest possible errors.
""",
    "kernel": """\
On Linux the summary has the kernel's smoothed round-trip time, the segments
that it sent again ("retransmits", also in the line of the answer), and its
congestion window. What the server sends again is not seen here.
""",
    "thresholds": """\
--warn and --crit may be given again, as NAME=RANGE: rtt (the mean round-trip
time in ms, if there is no name), loss (in %), offset (in ms), and expiry (of
the certificate, in days). Nagios' ranges: "10" alerts below 0 and above 10,
"10:" below 10, "~:10" above 10, "5:10" outside, "@5:10" inside. An offset
alerts only if it is outside whatever its error. With a limit for loss, less
loss is accepted.
""",
    "exit status": """\
0 if every probe was answered in time; 1 if a probe was not, or was answered
twice or with other bytes, if the connection ended, or at a limit of --warn; 2
at a limit of --crit, or if the options are wrong; 3 if there was no connection.
With --nagios: 0 (OK); 1 (WARNING) as above; 2 (CRITICAL) at a limit of --crit,
if no probe was answered, or if there was no connection; 3 (UNKNOWN) if the
options are wrong.
""",
}

#: Sections of the manual page alone, in the language of man(7).
MANUAL_SECTIONS = {
    "examples": """\
.TP
.B tsserv-ping --count 12 host
Ask twelve times; that is enough for the offset of a clock that tells whole seconds.
.TP
.B tsserv-ping --tls --nagios --warn 50 --crit 200 --crit expiry=7: host:21568
Check the service and its certificate for Nagios.
.TP
.B tsserv-ping --interval 0.1 --csv run.csv --plot run.svg host
Ask ten times a second until Ctrl-C; then write a table and a plot.
.TP
.B tsserv-ping --flood --connections 20 --duration 10 --histogram host
Put load on the service for ten seconds.
""",
    "see also": """\
.BR ping (8),
.BR tcp (7),
.BR twistd (1)
""",
}
