"""The loop of a coordinator while it owns the run."""
