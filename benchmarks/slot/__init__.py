"""Jobs for a machine that is lent for minutes: each fits its slot, goes on in the next one, and leaves a table. See __main__.py."""
