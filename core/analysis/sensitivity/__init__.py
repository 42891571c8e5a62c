"""What compressing each layer costs, setting by setting, in three tiers from free to measured.

Unlike the rest of `analysis` this package tries out settings: it reads steps and applies them as `pipeline` does.
"""
