"""What CardMint's edge and cloud say to each other.

Everything that crosses the wire is a frozen msgspec struct in here: cards, events, tasks, receipts,
the station's state, the envelope that carries events and the topics that carry envelopes. The
package does no input or output.
"""
