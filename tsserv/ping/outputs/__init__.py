"""The ways to show a run of tsserv-ping: each is an Output in a module of its own, and knows no other."""
