"""Denoising diffusion as published: schedules, closed forms, posteriors; numpy."""
