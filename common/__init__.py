"""What both services and step authors share: the contract of a step, the messages, the broker."""
