"""Parameters of steps and their parts: errors about wrong ones, and those given at run time."""
