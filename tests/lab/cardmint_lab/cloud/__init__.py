"""Benchmarks: real servers and the real worker, beside the limit that the same machine has in the same minute."""
