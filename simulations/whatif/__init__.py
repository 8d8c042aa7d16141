"""A user's own job on the user's own cluster: what happens if machines die in the middle?"""
