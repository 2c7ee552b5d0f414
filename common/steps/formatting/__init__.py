"""Steps that bring rows into the shape that training needs."""
