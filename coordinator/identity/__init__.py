"""What is asked of a run, which run that is, and what is known of it."""
