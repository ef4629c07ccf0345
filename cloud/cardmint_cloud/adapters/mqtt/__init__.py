"""MQTT 5: one TCP connection, and the client that makes it again whenever it is lost."""
