"""Review tasks: opened by rules, answered by people."""
