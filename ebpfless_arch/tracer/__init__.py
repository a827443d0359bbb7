"""Floor 4: stops in, records out. Knows ptrace, not rules."""
