"""Steps that push rows to Argilla, where people annotate them."""
