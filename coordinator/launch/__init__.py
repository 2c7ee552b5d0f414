"""From a command or a program to an outcome."""
