"""Built-in models, a file a family: ``NAMES`` and ``build(name)``, which gives a ``ModelGraph``."""
