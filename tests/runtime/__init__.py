"""The functions under AWS's own runtime client, as Lambda runs them."""
