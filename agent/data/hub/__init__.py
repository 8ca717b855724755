"""To the hub and back, when the owner says so; huggingface_hub does the transport."""
