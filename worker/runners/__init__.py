"""Running a step on batches: one runner for each kind of step."""
