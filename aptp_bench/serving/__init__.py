"""A mixture at work: routing, batching, sampling."""
