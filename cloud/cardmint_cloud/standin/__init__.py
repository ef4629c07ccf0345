"""Stand-ins for outside services: they speak the real shapes on loopback, for the demo and the tests."""
