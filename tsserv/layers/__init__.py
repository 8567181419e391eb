"""
What may lie between a connection and its protocol: every layer hands half-close and backpressure on.

Nothing else in the service uses ``ssl``.
"""
