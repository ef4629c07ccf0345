"""What ingest reads and writes: the event log, the inventory, leases and dead letters."""
