"""Parameters of steps and of what is in them: what is said of a wrong one, and which may be given at run time."""
