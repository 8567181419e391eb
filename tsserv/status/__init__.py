"""What ``--status`` shows over HTTP: it reads the service and changes nothing; loaded only when asked for."""
