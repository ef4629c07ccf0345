"""The feed on its way to the broker: events in order, snapshots, and events asked for again."""
