"""Endpoints: what they run on, how they come, change and go, and what is asked of them."""
