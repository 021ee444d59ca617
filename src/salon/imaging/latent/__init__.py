"""Latent diffusion with our own networks: folders, texts, latents, drawing (S4)."""
