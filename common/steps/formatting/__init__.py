"""Steps that give rows the shape that training takes."""
