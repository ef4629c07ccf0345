"""Stand-ins for outside services on loopback, with the real shapes, for demo and tests."""
