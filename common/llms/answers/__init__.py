"""Answers that were paid for, kept on this host's disk: what was asked once is not asked, and paid for, again."""
