"""The laboratory: benches, evaluation, training, stand-ins, chaos. No product installs it."""
