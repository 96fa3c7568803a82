"""The judge: a classifier of real clips, by which generated ones are scored."""
