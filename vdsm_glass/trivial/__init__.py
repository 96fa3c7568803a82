"""Models that learn next to nothing, which every other model has to beat in what it claims."""
