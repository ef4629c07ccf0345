"""Stand-ins for outside services.

They speak the real shapes on loopback, for the demo and the tests.
"""
