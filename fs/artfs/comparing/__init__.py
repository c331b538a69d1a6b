"""What changed inside files: rows of tables, lines of text, tensors, images that moved between folders."""
