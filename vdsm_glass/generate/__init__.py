"""What a trained model can do, one verb a file: tensors in, tensors out, nothing random without a generator."""
