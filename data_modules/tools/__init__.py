"""What `vdsm-glass prepare`, `show` and `score` do with data."""
