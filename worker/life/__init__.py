"""A worker from joining a run to leaving it."""
