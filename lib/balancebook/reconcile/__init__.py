"""Comparing a materialized view with its base table, row by row of the view."""
