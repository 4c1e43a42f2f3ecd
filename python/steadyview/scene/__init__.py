"""Scenes: sets of Gaussians, their files, and how they are fitted to posed images."""
