"""What is inside a file: its kind, and readers of tables, tensors and images in a child with limits."""
