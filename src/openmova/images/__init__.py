"""Pictures: opened with limits; boxes and polygons; drawings and heat maps on them."""
