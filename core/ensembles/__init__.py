"""Several models as one: joined into one graph, averaged by weight, trained as members, or taught to a student."""
