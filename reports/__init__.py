"""What a person reads: comparison, figures, the page and its Markdown twin."""
