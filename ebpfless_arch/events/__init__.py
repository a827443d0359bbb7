"""Floor 3: what happened, in the terms of the rule language."""
