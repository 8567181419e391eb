"""What an operator sees and does: the log file, systemd, signals. Nothing in here knows a connection."""
