"""The arena: models that are trained and tested alike, on one page."""
