"""What to run where and what it costs: models, plans, collectives, memory, lower, search."""
