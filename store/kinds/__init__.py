"""Kinds of rows with a module of their own, which has both ways: records into rows, and rows into records."""
