"""A timestamp service on Twisted: what a client sends comes back with the server's time before it."""
