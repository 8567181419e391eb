"""Sockets and the reactor: nothing else uses Twisted's private names or sets socket options."""
