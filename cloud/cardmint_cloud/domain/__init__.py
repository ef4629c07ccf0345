"""Pure rules: events and values in, values out, time as an argument."""
