"""What models share whose only control is one of K actions a frame."""
