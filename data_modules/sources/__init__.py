"""Reading files in the formats in which datasets are published, or kept by their users; none is trusted."""
