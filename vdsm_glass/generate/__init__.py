"""What trained models make: `vocabulary.py` has the verbs of all models, and every model has a file of its own."""
