"""What runs on this host for a run: the embedded broker, the local workers, and the guardian of both."""
