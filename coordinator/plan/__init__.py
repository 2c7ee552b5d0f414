"""From a spec to a checked graph of steps."""
