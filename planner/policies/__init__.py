"""Who chooses the way of a collective: one file a policy, named by its stem."""
