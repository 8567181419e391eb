"""The probe ``tsserv-ping``: whether the service answers, how fast, and what its clock says."""
