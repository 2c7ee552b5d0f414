"""Answers that were paid for, kept on this host's disk or in the broker: none is asked, and paid for, twice."""
