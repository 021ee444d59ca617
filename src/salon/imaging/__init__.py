"""Diffusion pictures, readable beside the papers: data, models, samplers, runtime."""
