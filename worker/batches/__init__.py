"""Batches in the hands of a worker: taken, read, packed, committed."""
