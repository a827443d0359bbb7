"""Floor 4: SECL. Text in, compiled Python functions out. Knows fields, not ptrace."""
