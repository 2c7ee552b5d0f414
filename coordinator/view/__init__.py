"""What a run looks like now, and how that is shown."""
