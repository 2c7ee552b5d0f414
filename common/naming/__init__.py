"""From names to classes: what is built in, what a spec may name, what a package provides."""
