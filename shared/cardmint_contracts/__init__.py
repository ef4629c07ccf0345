"""The contracts between CardMint's stations and its cloud.

All that crosses the wire is defined here: messages as frozen msgspec structs, topics, user
properties, reason codes, HTTP paths and headers, notification channels. The package does no input
or output.
"""
