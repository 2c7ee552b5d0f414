"""Recipes: pipelines that people run, with their data, to begin with."""
