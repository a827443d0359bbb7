"""Floor 5: puts the parts together."""
