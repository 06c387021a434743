"""Names become images: catalogue, download and verification, readers, the corruption recipe."""
