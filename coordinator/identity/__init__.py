"""What a request asks for, which run that is, and what is known about it."""
