"""What a worker has of its host: devices, standard streams, the log."""
