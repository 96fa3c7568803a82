"""Metrics, and the results that they give."""
