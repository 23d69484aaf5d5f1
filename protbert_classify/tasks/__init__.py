"""From columns with answers to tasks, and to the numbers that are learned."""
