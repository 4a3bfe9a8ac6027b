"""Speed, cost and growth, each against a stated baseline."""
