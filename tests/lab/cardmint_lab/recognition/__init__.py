"""Recognition measured: benches, calibration, evaluation, baselines."""
