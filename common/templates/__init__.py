"""Templates of prompts: Jinja2, sandboxed, and bounded in what they may make of a row and how long that may take."""
