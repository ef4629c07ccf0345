"""From MQTT messages to the event log and the inventory, and receipts back to stations."""
