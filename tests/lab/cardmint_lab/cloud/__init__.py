"""Benchmarks of the cloud: real servers and workers, beside the machine's limit."""
