"""Tables of ingest: the event log, the inventory, leases and dead letters."""
