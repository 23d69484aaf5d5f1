"""What is asked of a protein: the columns with the answers, and the numbers that they become."""
