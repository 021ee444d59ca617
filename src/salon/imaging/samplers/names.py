"""The samplers' names alone: for those who check a request and import no numpy."""

NAMES = ("ddpm", "ddpm-large", "ddim", "pndm", "euler", "dpm++", "unipc", "lcm")
"""The keys of ``registry.py::SAMPLERS``; a test compares them."""

TITLES = {
    "ddpm": "DDPM",
    "ddpm-large": "DDPM large",
    "ddim": "DDIM",
    "pndm": "PLMS",
    "euler": "Euler",
    "dpm++": "DPM++ 2M",
    "unipc": "UniPC",
    "lcm": "LCM",
}
"""What the Stable Diffusion web UI calls them; other programs look for these."""
