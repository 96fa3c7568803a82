"""Trained models, each with what it can do, in one vocabulary."""
