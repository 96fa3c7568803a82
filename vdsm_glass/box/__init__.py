"""Trained models that ship with the package, each in a folder: weights, sizes, results, clips and a page."""
