"""How good a model's answers are: one class per metric, and the choice of the one that fits outputs and labels."""
