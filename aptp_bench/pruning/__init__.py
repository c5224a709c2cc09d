"""Gates, surgery, coupled widths, budgets and what networks cost: the tools that pruning methods are made of."""
