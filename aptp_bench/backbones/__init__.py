"""The networks that metrics read images and captions with."""
