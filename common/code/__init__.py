"""What identifies the code of a user: its files, and those that its imports lead to."""
