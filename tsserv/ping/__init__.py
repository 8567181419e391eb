"""
The probe ``tsserv-ping``: whether the service answers, how fast, and what its clock says.

It imports no Twisted: only the standard library and ``tsserv.stamp``, and where they are installed matplotlib
(``outputs/plot.py`` alone) and cryptography (``tls.py`` alone).
"""
