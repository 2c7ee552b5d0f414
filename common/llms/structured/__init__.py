"""Answers of a given form: what the form is, how an endpoint is told, and how an answer is checked. Pure."""
