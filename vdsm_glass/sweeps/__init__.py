"""Sweeps: many trainings that differ in some options, from the file that `wandb sweep` reads, without an account."""
