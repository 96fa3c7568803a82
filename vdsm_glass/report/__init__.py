"""From a run's files to a page a person reads."""
