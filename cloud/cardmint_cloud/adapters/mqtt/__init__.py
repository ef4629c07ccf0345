"""MQTT 5: one TCP connection, and the client that reconnects."""
