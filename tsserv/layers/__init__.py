"""
What may lie between a connection and the service.

Each layer is a protocol to what is below it, and hands half-close and backpressure on.
"""
