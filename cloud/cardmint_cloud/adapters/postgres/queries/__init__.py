"""Queries of the pages and the API."""
