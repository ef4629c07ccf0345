"""Pure steps and values: arrays and values in, values out, time and randomness as arguments."""
