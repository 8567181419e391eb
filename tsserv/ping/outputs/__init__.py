"""
The ways to show a run.

Each is an ``Output`` in a module of its own, which imports no other output but the shared :mod:`summary`.
"""
