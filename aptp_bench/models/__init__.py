"""Model families, and the surgery that every pruning method stands on."""
