"""Trained models that ship with the package, each in a folder of its name: weights, sizes, results, clips and a page."""
