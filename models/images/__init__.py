"""Images: decoded, resized as the backbone wants them, embedded."""
