"""Listening, sockets and the reactor. Nothing else uses Twisted's private names or sets socket options."""
