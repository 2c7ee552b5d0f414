"""What a worker uses of its host: devices, standard streams, the log."""
