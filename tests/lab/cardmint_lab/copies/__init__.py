"""Disks and databases are copied and restored, clocks moved, messages forged while cards come."""
