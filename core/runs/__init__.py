"""What was run before: compressions and trainings with their recipes, figures and seeds, kept on disk as a tree."""
