"""Review tasks: opened by rules, sent to stations, answered by people."""
