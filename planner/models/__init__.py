"""Built-in models, one file each: a function ``build()`` that returns a ``ModelGraph``."""
