"""Metrics, and the results that they give."""

DEFAULT_METRICS = ("mse", "psnr", "ssim", "lpips_vgg", "fid", "fvd")
"""The metrics that `test` and `score` compute if none are named."""
