"""The loop of a coordinator, while it has the run."""
