"""Plans: from what compressing each layer costs to the best recipe for a budget, checked by measuring whole plans."""
