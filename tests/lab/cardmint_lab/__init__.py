"""The laboratory: benches, evaluation, training, stand-ins, chaos. Never installed on a station or in the cloud."""
