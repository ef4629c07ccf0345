"""Quotes, the state of providers that all workers share, and the job queue."""
