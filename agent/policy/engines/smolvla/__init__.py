"""SmolVLA's chunk, computed by parts of our own: vision, prefix and denoising step."""
