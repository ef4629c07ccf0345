"""The dashboard: server-rendered pages, JSON beside them, live by server-sent events."""
