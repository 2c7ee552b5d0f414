"""The code shared by both services and by step authors: the contract of a step, the messages, the broker."""
