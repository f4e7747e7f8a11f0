"""Published training runs: rows of a table, what each says in our words, how far we are off."""
