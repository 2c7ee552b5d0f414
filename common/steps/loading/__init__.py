"""Steps that load rows: from files, saved datasets, the hub, and memory."""
