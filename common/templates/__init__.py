"""Prompt templates: Jinja2, sandboxed, with bounded output and time per row."""
