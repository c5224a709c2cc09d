"""Prompts to images, and images on disk."""
