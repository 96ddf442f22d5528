"""Running independent pieces of work: knows no science."""
