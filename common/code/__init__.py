"""The identity of a user's code: its files, and those that its imports lead to."""
