"""Servers for one machine.

Postgres and a broker as child processes, for the demo, the benchmarks and the tests.
"""
