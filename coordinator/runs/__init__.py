"""Run directories on this host: found, read, locked, removed."""
