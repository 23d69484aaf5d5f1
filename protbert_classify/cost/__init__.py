"""What a training needs of memory and time, before it begins."""
