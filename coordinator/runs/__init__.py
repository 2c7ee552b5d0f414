"""Run directories on this host: finding, reading, locking and removing them."""
