"""What pruning buys in time: the networks of every method on one device, in every way of running. See __main__.py."""
