"""
The probe ``tsserv-ping``: whether the service answers, how fast, and what its clock says.

It imports no Twisted and nothing of the service: only the standard library, and where they are installed
matplotlib (``outputs/plot.py`` alone), prometheus_client (``outputs/metrics.py`` alone) and cryptography
(``tls.py`` alone).
"""
