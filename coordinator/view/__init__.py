"""What a run looks like now, and how to show it."""
